// Bundles the screens: web/front/*.js → web/static/made/*.{js,css}. `make setup` runs it.
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const made = fileURLToPath(new URL("../static/made/", import.meta.url));

rmSync(made, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ["early.js", "wall.js", "supervisor.js", "quality.js", "sign-in.js"],
  outdir: made,
  bundle: true,
  format: "iife",
  target: ["chrome100", "firefox100", "safari15.4"],
  minify: true,
  logLevel: "warning",
});
