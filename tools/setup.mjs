/**
 * Installs what a fresh machine lacks, for `npm start` and `npm test`: npm packages, and with root and apt the few system tools. Runs on whatever Node
 * started npm, so plain JavaScript and no packages.
 */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(fileURLToPath(new URL("..", import.meta.url)));

/**
 * Debian packages by the command that each is needed for, and why: what `nodeless doctor` looks for.
 * @type {readonly { command: string, debian: string, why: string }[]}
 */
export const systemTools = JSON.parse(readFileSync(join(root, "src/cmd/machine/system-tools.json"), "utf8"));

/** Programs that only tests need, by their paths in Debian packages. They are unpacked into .cache: nothing is installed, no service of theirs is started. */
export const testPrograms = [
  { path: "usr/bin/docker-registry", debian: "docker-registry", why: "is a registry to pull from" },
  { path: "usr/sbin/nats-server", debian: "nats-server", why: "keeps events in the place of our journal" },
];

/** @param {string} command */
export function findCommand(command) {
  for (const folder of [
    ...(process.env.PATH ?? "").split(delimiter),
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/usr/libexec/podman",
  ]) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** Installs npm packages when package-lock.json changed since the last time. */
export function ensureNpmPackages() {
  const lock = readFileSync(join(root, "package-lock.json"), "utf8");
  const stamp = join(root, "node_modules/.nodeless-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  say("npm packages (npm ci)");
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(stamp, lock);
}

/**
 * Installs missing system tools where root and apt allow it; says what is missing elsewhere.
 * @param {readonly { command: string, debian: string, why: string }[]} tools
 * @returns {boolean} whether all are there
 */
export function ensureSystemTools(tools = systemTools) {
  const missing = tools.filter(({ command }) => findCommand(command) === undefined);
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.map(({ debian }) => debian))].join(" ");
  if (process.getuid?.() !== 0 || findCommand("apt-get") === undefined) {
    console.log(`Missing: ${missing.map(({ command, why }) => `${command} (${why})`).join(", ")}.`);
    console.log(`Run once: sudo apt-get install -y ${packages}`);
    return false;
  }
  for (const { debian, why } of missing) say(`${debian}: ${why}`);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = () =>
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages.split(" ")], {
      env: environment,
      encoding: "utf8",
    });
  let result = install();
  if (result.status !== 0) {
    spawnSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    result = install();
  }
  if (result.status !== 0) {
    console.error(`Installing ${packages} with apt-get failed:\n${result.stderr}`);
    return false;
  }
  return true;
}

/** Unpacks missing test programs where root and apt allow it; says what is missing elsewhere: the tests that need it are skipped. */
export function ensureTestPrograms() {
  const folder = join(root, ".cache/debian");
  for (const { path, debian, why } of testPrograms) {
    if (existsSync(join(folder, path)) || findCommand(basename(path)) !== undefined) continue;
    if (process.getuid?.() !== 0 || findCommand("apt-get") === undefined) {
      console.log(
        `Missing: ${basename(path)} (${why}); its tests are skipped. Run once: sudo apt-get install -y ${debian}`,
      );
      continue;
    }
    say(`${debian} for tests: ${why}`);
    mkdirSync(folder, { recursive: true });
    const download = () => spawnSync("apt-get", ["download", "-qq", debian], { cwd: folder, encoding: "utf8" });
    let result = download();
    if (result.status !== 0) {
      spawnSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
      result = download();
    }
    const archive = readdirSync(folder).find((name) => name.startsWith(`${debian}_`) && name.endsWith(".deb"));
    const isUnpacked =
      archive !== undefined && spawnSync("dpkg-deb", ["-x", join(folder, archive), folder]).status === 0;
    if (!isUnpacked) console.log(`Getting ${debian} with apt-get failed; its tests are skipped:\n${result.stderr}`);
    if (archive !== undefined) rmSync(join(folder, archive));
  }
}

/** Bundles when the sources changed since the last bundle. */
export async function ensureBundle() {
  const { fingerprint } = await import("./fingerprint.mjs");
  const stamp = join(root, "dist/fingerprint");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint(root)) return;
  say("the bundle (dist/)");
  run(process.execPath, [join(root, "tools/node24.mjs"), join(root, "tools/bundle.ts")]);
}

/** @param {string} what */
function say(what) {
  console.log(`Installing ${what}`);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
  const { status, stderr, stdout } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status === 0) return;
  console.error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`);
  process.exit(1);
}
