// Builds dist/: index.js, which imports onnxruntime-web, and worker.js, which holds it, with the
// files of its WebAssembly beside.
import { build } from "esbuild";
import { copyFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const shared = { bundle: true, format: "esm", target: "es2022", logLevel: "warning" };

await rm(here("dist"), { recursive: true, force: true });
await build({
  ...shared,
  entryPoints: [here("src/index.ts")],
  outfile: here("dist/index.js"),
  packages: "external",
});
await build({
  ...shared,
  entryPoints: [here("src/worker.ts")],
  outfile: here("dist/worker.js"),
  minify: true,
  legalComments: "linked",
  conditions: ["onnxruntime-web-use-extern-wasm"],
});
for (const name of ["ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs"]) {
  await copyFile(here(`node_modules/onnxruntime-web/dist/${name}`), here(`dist/${name}`));
}
