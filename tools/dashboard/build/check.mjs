// Type-checks the page: node check.mjs --modules=DIR --config=tsconfig.json --out=STAMP
// SOURCE.ts...
//
// Through TypeScript's API and not its command, because the packages lie in another folder than the
// sources (Bazel keeps them in an external repository) and only the API takes that as an option.
// Any error fails the build.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";

const options = new Map();
const sources = [];
for (const argument of process.argv.slice(2)) {
  const match = /^--(\w+)=(.*)$/.exec(argument);
  if (match) options.set(match[1], match[2]);
  else sources.push(resolve(argument));
}
const modules = resolve(options.get("modules"));
const ts = createRequire(import.meta.url)(`${modules}/typescript`);

const config = ts.readConfigFile(options.get("config"), ts.sys.readFile);
const parsed = ts.convertCompilerOptionsFromJson(config.config.compilerOptions, ".");
const program = ts.createProgram(sources, { ...parsed.options, paths: { "*": [`${modules}/*`] } });
const problems = [...parsed.errors, ...ts.getPreEmitDiagnostics(program)];
if (config.error) problems.push(config.error);
if (sources.length === 0 || problems.length > 0) {
  const host = {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => process.cwd(),
    getNewLine: () => "\n",
  };
  process.stderr.write(ts.formatDiagnostics(problems, host) || "no sources\n");
  process.exit(1);
}
writeFileSync(options.get("out"), "");
