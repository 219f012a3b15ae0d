// Writes the C++ file that holds the assets: node embed.mjs --out=assets.cc URL_PATH=FILE...
//
// Bodies become string literals of one source line per 100 bytes. That compiles in well under a
// second for half a megabyte (an array of numbers takes ten times as long), needs no assembler
// directive or linker tool, and so works on every compiler. Bytes outside printable ASCII are octal
// escapes of three digits, which cannot swallow a digit that follows, as hexadecimal escapes would.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { extname } from "node:path";

const kContentTypes = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};
const kLineBytes = 100;

function literal(bytes) {
  if (bytes.length === 0) return '    ""';
  const lines = [];
  for (let start = 0; start < bytes.length; start += kLineBytes) {
    let line = "";
    for (const byte of bytes.subarray(start, start + kLineBytes)) {
      const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c && byte !== 0x3f;
      line += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
    }
    lines.push(`    "${line}"`);
  }
  return lines.join("\n");
}

let out = "";
const assets = [];
for (const argument of process.argv.slice(2)) {
  const [left, right] = [
    argument.slice(0, argument.indexOf("=")),
    argument.slice(argument.indexOf("=") + 1),
  ];
  if (left === "--out") out = right;
  else assets.push({ path: left, file: right });
}
assets.sort((a, b) => (a.path < b.path ? -1 : 1));

let source = "// Made by tools/dashboard/build/embed.mjs. Do not edit.\n";
source +=
  '#include "tools/dashboard/assets.h"\n\n#include <array>\n\nnamespace tinyobs::dashboard {\nnamespace {\n\n';
const rows = assets.map(({ path, file }, index) => {
  const contentType = kContentTypes[extname(file)];
  if (!contentType) throw new Error(`${file}: no content type for that extension`);
  const bytes = readFileSync(file);
  const etag = createHash("sha256").update(bytes).digest("hex").slice(0, 20);
  source += `constexpr char kBody${index}[] =\n${literal(bytes)};\n\n`;
  return `    Asset{"${path}", "${contentType}", std::string_view(kBody${index}, ${bytes.length}), "\\"${etag}\\""},\n`;
});
source += `constexpr std::array<Asset, ${rows.length}> kAssets = {\n${rows.join("")}};\n\n}  // namespace\n\n`;
source += `const Asset* FindAsset(std::string_view path) {
  if (path == "/index.html") path = "/";
  for (const Asset& asset : kAssets) {
    if (asset.path == path) return &asset;
  }
  return nullptr;
}

std::span<const Asset> AllAssets() { return kAssets; }

}  // namespace tinyobs::dashboard
`;
writeFileSync(out, source);
