// Builds a folder (dist/): index.js, which imports onnxruntime-web, and worker.js, which holds it,
// with its WebAssembly beside.
import { build } from "esbuild";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = process.argv[2] ?? here("dist");
const shared = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };

await build({
  ...shared,
  entryPoints: [here("src/index.ts")],
  outfile: join(folder, "index.js"),
  packages: "external",
});
await build({
  ...shared,
  entryPoints: [here("src/worker.ts")],
  outfile: join(folder, "worker.js"),
  minify: true,
  legalComments: "linked",
});
const wasm = "ort-wasm-simd-threaded.wasm";
await copyFile(here(`node_modules/onnxruntime-web/dist/${wasm}`), join(folder, wasm));
