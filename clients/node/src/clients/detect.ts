import { show } from "../duration.js";
import { LockConfig } from "../errors.js";
import type { Server } from "../server.js";
import { isIoRedisCluster, isIoRedis, ioRedis, ioRedisCluster } from "./ioredis.js";
import {
  isNodeRedis,
  isNodeRedisCluster,
  isNodeRedisPool,
  isNodeRedisSentinel,
  nodeRedis,
  nodeRedisCluster,
  nodeRedisPool,
  nodeRedisSentinel,
} from "./node-redis.js";

/** Known by what it can do, so that no client has to be installed but the user's own. */
export function serverOf(redis: unknown): Server {
  if (Array.isArray(redis)) {
    throw new LockConfig(
      `a list of ${redis.length} clients: locks over several independent servers are not there yet, give one client`,
    );
  }
  if (isIoRedisCluster(redis)) return ioRedisCluster(redis);
  if (isIoRedis(redis)) return ioRedis(redis);
  if (isNodeRedisCluster(redis)) return nodeRedisCluster(redis);
  if (isNodeRedisSentinel(redis)) return nodeRedisSentinel(redis);
  if (isNodeRedisPool(redis)) return nodeRedisPool(redis);
  if (isNodeRedis(redis)) return nodeRedis(redis);
  throw new LockConfig(
    `${show(redis)} is no client that is known: give one of node-redis 5 or later (package redis), ioredis 5 or later, or iovalkey`,
  );
}
