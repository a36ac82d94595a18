/**
 * Reads every exported interface under src/ and asks that each of its methods is documented, and that every class or factory said to implement a contract with a suite
 * is run through that suite by some test.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");

/** Contracts that ship a suite: the interface, its suite, and how an implementation is recognised. */
const suites = [
  { contract: "Store", suite: "storeSuite", implementations: /\/store\/(lmdb|memory|etcd)\/[a-z]+-store\.ts$/ },
  { contract: "PodProvider", suite: "providerSuite", implementations: /\/providers\/[a-z]+\/[a-z-]*provider\.ts$/ },
  {
    contract: "ContainerRuntime",
    suite: "containerRuntimeSuite",
    implementations: /\/providers\/[a-z]+\/[a-z-]*container-runtime\.ts$/,
  },
];

function main(): void {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const texts = new Map(files.map((name) => [join(src, name), readFileSync(join(src, name), "utf8")]));
  const problems = [...texts].flatMap(([file, text]) => (isTest(file) ? [] : undocumented(file, text)));
  problems.push(...withoutSuite(texts));
  for (const problem of problems) console.error(problem);
  console.log(`contracts: ${files.length} files, ${problems.length} problems`);
  process.exit(problems.length === 0 && files.length > 20 ? 0 : 1);
}

/** Methods of exported interfaces whose line before is not the end of a comment. */
function undocumented(file: string, text: string): string[] {
  const problems: string[] = [];
  const lines = text.split("\n");
  let contract = "";
  lines.forEach((line, index) => {
    const start = /^export interface (\w+)/.exec(line);
    if (start) contract = start[1] ?? "";
    else if (line.startsWith("}")) contract = "";
    else if (contract !== "" && /^ {2}\w+\??(<.*>)?\(/.test(line) && !/\*\/\s*$/.test(lines[index - 1] ?? "")) {
      problems.push(
        `${file}:${index + 1}: a method of the contract ${contract} has no comment that says what it promises`,
      );
    }
  });
  return problems;
}

function withoutSuite(texts: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  for (const { contract, suite, implementations } of suites) {
    for (const file of texts.keys()) {
      if (!implementations.test(file) || isTest(file)) continue;
      const name = file.slice(file.lastIndexOf("/") + 1);
      const folder = file.slice(0, file.lastIndexOf("/"));
      const runs = [...texts].some(([test, text]) => isTest(test) && test.startsWith(folder) && text.includes(suite));
      if (!runs) problems.push(`${file}: implements ${contract}, but no test beside ${name} runs ${suite}`);
    }
  }
  return problems;
}

function isTest(file: string): boolean {
  return /\.(test|e2e)\.ts$/.test(file) || file.endsWith("-suite.ts");
}

main();
