// build/embed.mjs on bytes that no asset of ours holds: every byte value, and the sequences that
// trip C++ literals.
//
// Method: embed a file, read the literal back with the rules of C++ (three-digit octal escapes,
// nothing else escaped), compare bytes; twice, since the build must be deterministic.  Usage: node
// embed_test.mjs EMBED_MJS
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const embed = process.argv[2];
const folder = mkdtempSync(join(process.env.TEST_TMPDIR ?? tmpdir(), "embed-"));

function embedBytes(bytes, name = "a.js") {
  const file = join(folder, name);
  const out = join(folder, "out.cc");
  writeFileSync(file, bytes);
  execFileSync(process.execPath, [embed, `--out=${out}`, `/web/${name}=${file}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  return readFileSync(out, "latin1");
}

function literalOf(source) {
  const [, text] = /kBody0\[\] =\n([^;]*(?:;[^;]*)*?);\n\nconstexpr std::array/.exec(source);
  const lines = text.split("\n").map((line) => /^ {4}"(.*)"$/.exec(line)[1]);
  const bytes = [];
  for (const line of lines) {
    for (const [token] of line.matchAll(/\\[0-7]{3}|[^\\]/g)) {
      bytes.push(token.length === 4 ? Number.parseInt(token.slice(1), 8) : token.charCodeAt(0));
    }
  }
  return Buffer.from(bytes);
}

const hard = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  Buffer.from('"; // ??/ \\0 \\n %d é → \u0000123 R"(x)" ;\n\n'),
]);

test("every byte comes back", () => assert.deepEqual(literalOf(embedBytes(hard)), hard));
test("the length is that of the bytes, with zero bytes inside", () =>
  assert.match(embedBytes(hard), new RegExp(`kBody0, ${hard.length}\\)`)));
test("the same input gives the same output", () =>
  assert.equal(embedBytes(hard), embedBytes(hard)));
test("the tag follows the content", () => {
  const tag = (source) => /"\\"([0-9a-f]+)\\""/.exec(source)[1];
  assert.notEqual(tag(embedBytes("a")), tag(embedBytes("b")));
});
test("an empty file is an empty body", () => assert.match(embedBytes(""), /kBody0, 0\)/));
test("an extension without content type fails the build", () =>
  assert.throws(() => embedBytes("x", "a.exe")));
