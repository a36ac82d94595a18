/**
 * kubectl 1.27, 1.30, 1.33 and 1.35 print at our API server, word for word, what they print at kube-apiserver 1.36.3: transcripts recorded there are replayed here
 * (test/support/transcript.ts says how to read and record them). Versions that the machine does not have are skipped.
 * Run: node tools/node24.mjs test/e2e/kubectl-transcripts.e2e.ts
 */
import assert from "node:assert/strict";
import { mkdtempSync, cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { kubectlVersions } from "../support/kubectl.ts";
import { startLoneApiServer } from "../support/lone-api-server.ts";
import { parseTranscript, runStep } from "../support/transcript.ts";

const versions = ["1.27", "1.30", "1.33", "1.35"];
const transcripts = join(import.meta.dirname, "kubectl");
const only = process.env["TRANSCRIPT"];

for (const file of readdirSync(transcripts).filter((name) => name.endsWith(".txt") && name.startsWith(only ?? ""))) {
  describe(`what kubectl prints: ${basename(file, ".txt")}`, { concurrency: 2 }, () => {
    for (const version of versions) {
      const [kubectl] = kubectlVersions([version]);
      const skip = kubectl === undefined && `this machine has no kubectl ${version}`;
      it(`is the same as at kube-apiserver, with kubectl ${version}`, { skip }, () =>
        replay(file, version, kubectl?.path ?? ""),
      );
    }
  });
}

async function replay(file: string, version: string, kubectl: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-kubectl-"));
  const server = await startLoneApiServer();
  try {
    cpSync(join(transcripts, "files"), folder, { recursive: true });
    const differences: string[] = [];
    let compared = 0;
    for (const { command, printed } of parseTranscript(readFileSync(join(transcripts, file), "utf8"))) {
      const actual = await runStep(command, { kubectl, kubeconfig: server.kubeconfig, folder });
      const expected = printed.get(version);
      if (expected === undefined) continue;
      compared += 1;
      if (actual !== expected) differences.push(differenceOf(command, expected, actual));
    }
    assert.ok(compared > 20, `only ${compared} commands were compared`);
    assert.equal(differences.join("\n"), "", `${differences.length} of ${compared} commands`);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

// Lines that only one side has, which reads better than the whole of long texts.
function differenceOf(command: string, expected: string, actual: string): string {
  const [wanted, given] = [expected.split("\n"), actual.split("\n")];
  const missing = wanted.filter((line) => !given.includes(line)).map((line) => `  - ${line}`);
  const strange = given.filter((line) => !wanted.includes(line)).map((line) => `  + ${line}`);
  const lines = [...missing, ...strange].slice(0, 30);
  const first = wanted.findIndex((line, index) => line !== given[index]);
  const order = ["  the order of lines, from", `  - ${wanted[first]}`, `  + ${given[first]}`];
  return [`$ ${command}`, ...(lines.length === 0 ? order : lines)].join("\n");
}
