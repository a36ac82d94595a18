/**
 * Records a transcript at a real kube-apiserver, for one version of kubectl at a time: the server has to be empty again for the next.
 * Run: node tools/node24.mjs test/support/record-transcript.ts FILE VERSION KUBECONFIG (with the commands in FILE, each behind "$ ").
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { kubectlVersions } from "./kubectl.ts";
import { formatTranscript, parseTranscript, runStep, type Step } from "./transcript.ts";

const [file = "", version = "", kubeconfig = ""] = process.argv.slice(2);
const [kubectl] = kubectlVersions([version]);
if (kubectl === undefined) throw new Error(`no kubectl ${version} on this machine`);
// kubectl keeps what it learns of a server there.
const folder = mkdtempSync(join(tmpdir(), "nodeless-record-"));
cpSync(join(dirname(resolve(file)), "files"), folder, { recursive: true });
const steps: Step[] = [];
for (const { command, printed } of parseTranscript(readFileSync(file, "utf8"))) {
  const text = await runStep(command, { kubectl: kubectl.path, kubeconfig: resolve(kubeconfig), folder });
  steps.push({ command, printed: new Map([...printed, [version, text] as const].sort()) });
}
writeFileSync(file, formatTranscript(steps));
rmSync(folder, { recursive: true });
