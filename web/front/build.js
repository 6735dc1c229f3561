// Bundles the screens: web/front/*.js → web/static/made/*.{js,css}. `make setup` runs it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const made = fileURLToPath(new URL("../static/made/", import.meta.url));
const targets = ["chrome100", "firefox100", "safari15.4"];

// wavesurfer.js writes its style sheet as an element into each waveform, which our Content-Security-Policy forbids. So
// the sheet becomes a file, made/wave.css, which player.js links to in the same place.
const library = readFileSync(fileURLToPath(import.meta.resolve("wavesurfer.js")), "utf8");
const [, before, sheet, after] = /^(.*?)<style\$\{.*?\}>(.*?)<\/style>(.*)$/s.exec(library) ?? [];
if (sheet === undefined) throw new Error("wavesurfer.js has no style sheet where it was: look at web/front/build.js");
const withoutSheet = {
  name: "without-sheet",
  setup(building) {
    building.onLoad({ filter: /wavesurfer\.esm\.js$/ }, () => ({ contents: before + after, loader: "js" }));
  },
};

// A warning is an error: a word that stands twice in words.js is one of both, and nobody would see it.
async function make(options) {
  const { warnings } = await build(options);
  if (warnings.length > 0) throw new Error(`${warnings.length} warnings: see above`);
}

const common = { absWorkingDir: here, outdir: made, bundle: true, target: targets, minify: true, logLevel: "warning" };
rmSync(made, { recursive: true, force: true });
mkdirSync(made);
await make({ ...common, entryPoints: ["early.js"], format: "iife" }); // which a page waits for
await make({
  ...common,
  entryPoints: ["wall.js", "supervisor.js", "quality.js", "sign-in.js"],
  format: "esm",
  splitting: true, // what is imported later is loaded later: the player
  plugins: [withoutSheet],
});
const rules = sheet.replaceAll("\\n", "\n").replace(/\$\{.*?\}/g, "0"); // a height that its script sets as well
writeFileSync(`${made}wave.css`, (await transform(rules, { loader: "css", target: targets, minify: true })).code);
