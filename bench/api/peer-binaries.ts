/**
 * kube-apiserver and etcd to measure against: out of `~/.cache/nodeless/peers`, or built there once from their Go modules where Go is present (ten minutes and more on two cores).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** Versions that are measured against. */
export const KUBERNETES = "1.36.3";
const STAGING = `v0.${KUBERNETES.slice(2)}`;
const ETCD = "v3.6.8";

/** Paths of the two programs. */
export type PeerBinaries = { readonly apiserver: string; readonly etcd: string };

/** Finds or builds them; undefined, with a line that says why, when neither can be. */
export function findPeerBinaries(): PeerBinaries | undefined {
  const folder = join(homedir(), ".cache/nodeless/peers");
  const binaries = { apiserver: join(folder, "kube-apiserver"), etcd: join(folder, "etcd") };
  if (existsSync(binaries.apiserver) && existsSync(binaries.etcd)) return binaries;
  if (spawnSync("go", ["version"]).status !== 0) {
    console.error(`Skipped kube-apiserver and etcd: neither in ${folder} nor is Go here to build them.`);
    return undefined;
  }
  console.error(`Building kube-apiserver v${KUBERNETES} and etcd ${ETCD} into ${folder}, once …`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(binaries.etcd)) buildEtcd(binaries.etcd);
  if (!existsSync(binaries.apiserver)) buildApiServer(binaries.apiserver);
  return binaries;
}

function buildEtcd(target: string): void {
  const main =
    'package main\nimport ("os"; "go.etcd.io/etcd/server/v3/etcdmain")\nfunc main() { etcdmain.Main(os.Args) }\n';
  const module = `module peer\ngo 1.26.0\nrequire go.etcd.io/etcd/server/v3 ${ETCD}\n`;
  inModule({ "go.mod": module, "main.go": main }, (folder) => build(folder, target, []));
}

// kube-apiserver's own go.mod names its staging modules with v0.0.0, for its workspace: here each is the published one.
function buildApiServer(target: string): void {
  const version = `v${KUBERNETES}`;
  const module = `module peer\ngo 1.26.0\nrequire k8s.io/kubernetes ${version}\n`;
  inModule({ "go.mod": module }, (folder) => {
    const found = go(folder, ["mod", "download", "-json", `k8s.io/kubernetes@${version}`]);
    const { GoMod } = JSON.parse(found) as { readonly GoMod: string };
    const staging = [...readFileSync(GoMod, "utf8").matchAll(/^\s+(k8s\.io\/[a-z-]+) v0\.0\.0$/gm)].map(
      ([, name]) => name,
    );
    const replaced = staging.map((name) => `replace ${name} => ${name} ${STAGING}\n`);
    writeFileSync(join(folder, "go.mod"), module + replaced.join(""));
    build(
      folder,
      target,
      ["-X", `k8s.io/component-base/version.gitVersion=${version}`],
      "k8s.io/kubernetes/cmd/kube-apiserver",
    );
  });
}

function inModule(files: Readonly<Record<string, string>>, work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-peer-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function build(folder: string, target: string, linkerFlags: readonly string[], what = "."): void {
  go(folder, [
    "build",
    "-mod=mod",
    "-trimpath",
    `-ldflags=${["-s", "-w", ...linkerFlags].join(" ")}`,
    "-o",
    `${target}.new`,
    what,
  ]);
  renameSync(`${target}.new`, target);
}

function go(folder: string, args: readonly string[]): string {
  const env = { ...process.env, CGO_ENABLED: "0" };
  const { status, stdout } = spawnSync("go", args, {
    cwd: folder,
    encoding: "utf8",
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`go ${args.join(" ")} ended with ${status}`);
  return stdout;
}
