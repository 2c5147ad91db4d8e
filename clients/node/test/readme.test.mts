import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { PACKAGE } from "./support/project.mjs";

// A name in backquotes on a line of its own, and a block of code after it: the block is that file.
const SHOWN = /^`(examples\/[\w.-]+)`\n\n```\w+\n([\s\S]*?)```$/gm;
const LINK = /\]\((?!https?:|#)([^)#]+)/g;

for (const page of ["README.md", "docs/redlock.md"]) {
  const text = readFileSync(join(PACKAGE, page), "utf8");

  test(`${page} shows the programs that are tested`, () => {
    const blocks = [...text.matchAll(SHOWN)];
    assert.equal(blocks.length, [...text.matchAll(/^```(js|ts)$/gm)].length, "each program is a file");
    for (const [, file, shown] of blocks) {
      assert.equal(shown, readFileSync(join(PACKAGE, file!), "utf8"), `${file} is shown otherwise in ${page}`);
    }
  });

  test(`${page} links to what is there`, () => {
    for (const [, link] of text.matchAll(LINK)) assert.ok(existsSync(join(PACKAGE, dirname(page), link!)), link);
  });
}
