//! The module in real servers, one topic a file.

mod acl;
mod cluster;
mod config;
mod crash;
mod damage;
mod docs;
mod errors;
mod events;
mod fuzz;
mod info;
mod keyspace;
mod multi_key;
mod pause;
mod persistence;
mod readers;
mod replication;
mod replies;
mod resp3;
mod resync;
mod rule;
mod support;
mod time;
mod tokens;
mod tour;
mod traffic;
mod view;
