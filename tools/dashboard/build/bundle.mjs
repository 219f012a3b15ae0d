// Bundles one entry (TypeScript or CSS) into one file: node bundle.mjs --modules=DIR --out=FILE
// [--platform=node] ENTRY
//
// Deterministic: the same input gives the same bytes, since nothing of the path, time or machine
// goes in. For the browser the result is minified and without source map (the sources are a click
// away in the repository); for node (unit tests) it stays readable and keeps imports of node's own
// modules.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const options = new Map();
let entry = "";
for (const argument of process.argv.slice(2)) {
  const match = /^--(\w+)=(.*)$/.exec(argument);
  if (match) options.set(match[1], match[2]);
  else entry = argument;
}
const modules = resolve(options.get("modules"));
const esbuild = createRequire(import.meta.url)(`${modules}/esbuild`);
const forNode = options.get("platform") === "node";

await esbuild.build({
  entryPoints: [entry],
  outfile: options.get("out"),
  bundle: true,
  minify: !forNode,
  sourcemap: false,
  legalComments: "inline",
  charset: "utf8",
  target: forNode ? "node18" : "es2021",
  format: forNode ? "esm" : "iife",
  platform: forNode ? "node" : "browser",
  nodePaths: [modules],
  preserveSymlinks: true,
  logLevel: "warning",
});
