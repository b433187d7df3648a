/** What a first visit loads, gzipped: the page's entry with all that it imports at once, and the playground without its editor. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT = 300_000;
const dist = join(import.meta.dirname, "../dist");
const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));

const files = new Set();
function take(name) {
  const entry = manifest[name];
  if (!entry || files.has(entry.file)) return;
  files.add(entry.file);
  for (const other of entry.imports ?? []) take(other);
}
take("style.css");
take("index.html");
take("src/pages/playground/Playground.tsx");

let total = gzipSync(readFileSync(join(dist, "index.html"))).length;
for (const file of files) {
  const size = gzipSync(readFileSync(join(dist, file))).length;
  total += size;
  console.log(`${String(size).padStart(8)} ${file}`);
}
console.log(`${String(total).padStart(8)} bytes gzipped on a first load, of at most ${LIMIT}`);
if (total > LIMIT) process.exit(1);
