/**
 * Transcripts of kubectl: commands and what they print, recorded at a kube-apiserver and replayed at ours. A file of them holds, per command, a text for each group of
 * kubectl versions that printed the same:
 *
 *     $ kubectl delete configmap a
 *     [1.27 1.30 1.33]
 *     configmap "a" deleted
 *     [1.35]
 *     configmap "a" deleted from default namespace
 *
 * Errors follow output behind a line "stderr:", and a line "exit N" where N is not 0. What differs from run to run (uids, times, ages, addresses, revisions) stands there as
 * a word in capitals; as that changes the widths of columns, several spaces count as two.
 */
import { execFile } from "node:child_process";

/** One command of a transcript, as a shell line. */
export type Step = {
  readonly command: string;
  /** What was printed, by kubectl's minor version. */
  readonly printed: ReadonlyMap<string, string>;
};

/** Reads a transcript. */
export function parseTranscript(text: string): readonly Step[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((block) => {
      const [command = "", ...rest] = block.split("\n");
      const printed = new Map<string, string>();
      for (const group of rest.join("\n").split(/^(?=\[1\.[\d. ]+\]$)/m)) {
        const [head = "", ...lines] = group.split("\n");
        for (const version of head.match(/1\.\d+/g) ?? []) printed.set(version, lines.join("\n").trimEnd());
      }
      return { command, printed };
    });
}

/** Writes a transcript. */
export function formatTranscript(steps: readonly Step[]): string {
  return steps
    .map(({ command, printed }) => {
      const groups = new Map<string, string[]>();
      for (const [version, text] of printed) groups.set(text, [...(groups.get(text) ?? []), version]);
      const texts = [...groups].map(([text, versions]) => `[${versions.join(" ")}]\n${text}${text === "" ? "" : "\n"}`);
      return `$ ${command}\n${texts.join("")}`;
    })
    .join("\n");
}

/** Runs a step's command line, in which `kubectl` is this one, and gives what it printed, in the transcript's form. */
export function runStep(
  command: string,
  options: { readonly kubectl: string; readonly kubeconfig: string; readonly folder: string },
): Promise<string> {
  const { kubectl, kubeconfig, folder } = options;
  // A kubectl ends before it is worth its while to collect garbage: a seventh of its processor time.
  const environment = {
    ...process.env,
    KUBECONFIG: kubeconfig,
    HOME: folder,
    KUBECTL: kubectl,
    EDITOR: "true",
    GOGC: "off",
  };
  const line = `kubectl() { "$KUBECTL" "$@"; }\n${command}`;
  return new Promise((resolve) => {
    const child = execFile(
      "bash",
      ["-c", line],
      { env: environment, cwd: folder, timeout: 60_000, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : `by ${error.signal}`;
        const errors = stderr === "" ? "" : `stderr:\n${stderr}`;
        resolve(withoutChance(`${stdout}${errors}${code === 0 ? "" : `exit ${code}\n`}`));
      },
    );
    child.stdin?.end();
  });
}

/** Replaces what differs from run to run. */
function withoutChance(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UID")
    .replaceAll(/20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
    .replaceAll(/(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w+ 20\d\d \d\d:\d\d:\d\d [+-]\d{4}/g, "TIME")
    .replaceAll(/20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC/g, "TIME")
    .replaceAll(/https:\/\/127\.0\.0\.1:\d+/g, "SERVER")
    .replaceAll(/(resourceVersion"?: ?)"\d+"/g, '$1"REVISION"')
    .replaceAll(/(Resource Version: +)\d+/g, "$1REVISION")
    .replaceAll(/\b10\.25\d\.\d+\.\d+\b/g, "ADDRESS")
    .replaceAll(/(?<![\w.])(\d+m)?\d+s(?= |$)/gm, "AGE")
    .replaceAll(/(?<![\w.])\d+y\d+d(?= |$)/gm, "AGE")
    .replaceAll(/(kube-api-access|node-debugger)-\w{5}/g, "$1-RANDOM")
    .replaceAll(/\b3[0-2]\d{3}\/TCP/g, "PORT/TCP")
    .replaceAll(/(nodePort: )3\d{4}/g, "$1PORT")
    .replaceAll(/(?<=\S) {3,}/g, "  ")
    .replaceAll(/[ \t]+$/gm, "")
    .trimEnd();
}
