// Builds the page into dist/, or the folder given: plain files, the same from the same sources.
import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const output = process.argv[2] ?? here("dist");
const runtime = here("node_modules/onnxruntime-web/dist/");

await rm(output, { recursive: true, force: true });
await mkdir(output, { recursive: true });
await build({
  entryPoints: {
    page: here("src/main.ts"),
    recorder: here("src/recorder.ts"),
    worker: here("../js/src/worker.ts"),
    style: here("src/style.css"),
  },
  outdir: output,
  absWorkingDir: here("."),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none", // licences.txt has them
  // The sources of js/ have a node_modules of their own, or none.
  alias: { "onnxruntime-web/wasm": `${runtime}ort.wasm.bundle.min.mjs` },
  logLevel: "warning",
});
await copyFile(`${runtime}ort-wasm-simd-threaded.wasm`, `${output}/ort-wasm-simd-threaded.wasm`);
for (const name of ["index.html", "icon.svg", "licences.txt"]) {
  await copyFile(here(`src/${name}`), `${output}/${name}`);
}
