/**
 * Enforces the house's laws by reading every import line under src/: which room may import which, the store's one reader, cmd as the one place that joins parts,
 * no way out of a room by `../`, no barrels, no cycles (types included). Fails with the law that was broken, and fails when it saw suspiciously little.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const base = ["apimachinery", "component-base"];
const clientAndBelow = ["client", "streaming", "api", ...base];

/** Which rooms a room may import, besides itself. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  "component-base": [],
  apimachinery: ["component-base"],
  api: ["apimachinery"],
  store: base,
  apiserver: ["store", "client", "streaming", "api", ...base],
  client: ["api", ...base],
  streaming: ["component-base"],
  linux: ["component-base"],
  disk: ["component-base"],
  images: ["disk", "linux", "component-base"],
  runtime: ["images", "linux", "component-base"],
  controllers: clientAndBelow,
  scheduler: clientAndBelow,
  kubelet: [...clientAndBelow, "linux"],
  providers: ["runtime", "images", "linux", "proxy", ...clientAndBelow],
  proxy: ["component-base"],
  network: ["proxy", "linux", ...clientAndBelow],
  mesh: ["proxy", "linux", ...clientAndBelow],
  knative: clientAndBelow,
  serving: ["knative", "proxy", ...clientAndBelow],
  eventing: ["knative", "proxy", "disk", ...clientAndBelow],
  functions: ["knative", "images", "disk", ...clientAndBelow],
  delivery: ["knative", "disk", ...clientAndBelow],
  backing: clientAndBelow,
  workflows: ["disk", ...clientAndBelow],
  metering: ["disk", ...clientAndBelow],
  dashboard: clientAndBelow,
  cli: clientAndBelow,
  cmd: ["*"],
};

/** Of the kubelet, providers see the contract files and their suites only. */
const kubeletContracts = [
  "provider.ts",
  "container-runtime.ts",
  "provider-suite.ts",
  "container-runtime-suite.ts",
  "container-runtime-suite/suite-house.ts",
];

type Import = { readonly from: string; readonly to: string; readonly line: number };

/** Checks the tree under `root` (the repository). Gives one line per broken law. */
export function checkLayers(root: string): {
  readonly problems: readonly string[];
  readonly files: number;
  readonly imports: number;
} {
  const src = join(root, "src");
  const files = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort();
  const problems: string[] = [];
  const imports: Import[] = [];
  for (const file of files) {
    const text = readFileSync(join(src, file), "utf8");
    problems.push(...checkFile(file, text));
    imports.push(...importsOf(src, file, text, problems));
  }
  for (const item of imports) problems.push(...checkImport(item));
  problems.push(...findCycles(imports));
  return { problems, files: files.length, imports: imports.length };
}

function checkFile(file: string, text: string): string[] {
  const problems: string[] = [];
  const room = roomOf(file);
  if (!(room in rooms))
    problems.push(`src/${file}: "${room}" is no room of the house; add it to tools/layers.ts and to ARCHITECTURE.md`);
  if (/(^|\/)index\.ts$/.test(file)) problems.push(`src/${file}: no barrels: name the file by what is in it`);
  if (/^export default /m.test(text)) problems.push(`src/${file}: no default exports`);
  return problems;
}

function importsOf(src: string, file: string, text: string, problems: string[]): Import[] {
  const found: Import[] = [];
  const pattern =
    /(?:^|[\s;])(?:import|export)\s(?:[^"';]*?\sfrom\s)?["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? "";
    const line = text.slice(0, match.index).split("\n").length;
    if (specifier.startsWith("../"))
      problems.push(`src/${file}:${line}: imports "${specifier}": across folders write "#room/file.ts"`);
    if (specifier.startsWith("#")) found.push({ from: file, to: specifier.slice(1), line });
    if (specifier.startsWith("."))
      found.push({ from: file, to: relative(src, resolve(src, dirname(file), specifier)), line });
  }
  return found;
}

function checkImport({ from, to, line }: Import): string[] {
  const [room, target] = [roomOf(from), roomOf(to)];
  if (room === target || room === "cmd" || isTest(from)) return [];
  const where = `src/${from}:${line}`;
  if (target === "store") {
    return room === "apiserver" ? [] : [`${where}: imports #${to}. Law 1: only apiserver touches store`];
  }
  if (target === "cmd") return [`${where}: imports #${to}. Law 3: only cmd joins parts`];
  const allowed = rooms[room] ?? [];
  if (room === "providers" && target === "kubelet") {
    if (kubeletContracts.includes(to.slice("kubelet/".length))) return [];
    return [`${where}: imports #${to}. Of the kubelet, providers may import only ${kubeletContracts.join(", ")}`];
  }
  if (allowed.includes(target)) return [];
  return [
    `${where}: imports #${to}. Law 2: ${room} may import only ${allowed.join(", ") || "nothing"}; parts meet in API objects, through client`,
  ];
}

function isTest(file: string): boolean {
  return /\.(test|e2e)\.ts$/.test(file) || /-suite\.ts$/.test(file) || file.includes("/testing/");
}

function roomOf(file: string): string {
  return file.split("/")[0] ?? "";
}

function findCycles(imports: readonly Import[]): string[] {
  const graph = new Map<string, string[]>();
  for (const { from, to } of imports) if (!isTest(from)) graph.set(from, [...(graph.get(from) ?? []), to]);
  const state = new Map<string, "open" | "done">();
  const problems: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      problems.push(`import cycle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
      return;
    }
    state.set(file, "open");
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, "done");
  };
  for (const file of graph.keys()) visit(file, []);
  return problems;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { problems, files, imports } = checkLayers(resolve(import.meta.dirname, ".."));
  for (const problem of problems) console.error(problem);
  if (files < 20 || imports < 15) {
    console.error(`layers: saw only ${files} files and ${imports} imports: the check itself is broken`);
    process.exit(1);
  }
  console.log(`layers: ${files} files, ${imports} imports, ${problems.length} problems`);
  process.exit(problems.length === 0 ? 0 : 1);
}
