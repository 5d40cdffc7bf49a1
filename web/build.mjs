// Bundles the script and the style of plait's pages into the folder of the crate that puts them there.
//
// The bundle begins with a digest of all that it was made of. A test of the crate works the digest out again, so a bundle
// that was forgotten is noticed where there is no Node.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "../crates/plait-report/src/page");

function sources(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [path];
  });
}

// The same files, in the same order and in the same way, as `crates/plait-report/src/page/bundle.rs`.
const inputs = [...sources(join(here, "src")), join(here, "build.mjs"), join(here, "package-lock.json")];
const digest = createHash("sha256");
for (const path of inputs.sort()) {
  const name = relative(here, path);
  const content = readFileSync(path);
  digest.update(`${name}\n${content.length}\n`).update(content);
}

const licence = readFileSync(join(here, "node_modules/uplot/LICENSE"), "utf8").trim();
const banner = `/*! made of web/ by its build.mjs, sha256 ${digest.digest("hex")}\n\nIn it: uPlot (github.com/leeoniya/uPlot)\n\n${licence} */`;

const result = await build({
  entryPoints: { bundle: join(here, "src/main.ts") },
  bundle: true,
  format: "iife",
  target: ["chrome103", "firefox113", "safari16.4"],
  minify: true,
  // The page is UTF-8, and says so.
  charset: "utf8",
  legalComments: "none",
  write: false,
  outdir: out,
});
const script = result.outputFiles[0].text;
// A script within a page ends at the first of these.
if (/<\/script|<!--/i.test(script)) throw new Error("the bundle has in it what would end a script of a page");
writeFileSync(join(out, "bundle.js"), `${banner}\n${script}`);
const style = readFileSync(join(here, "node_modules/uplot/dist/uPlot.min.css"), "utf8");
writeFileSync(join(out, "uplot.css"), `/* uPlot, MIT; its licence is in the script */\n${style.trim()}\n`);
console.log(`bundle.js: ${script.length} bytes`);
