/**
 * The systemd unit that brings a cluster up at boot.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { UserError } from "#cli/command.ts";
import type { MachineContext } from "./clusters.ts";

const folder = "/etc/systemd/system";

/** Throws UserError where no unit can be installed. */
export function checkBoot({ isRoot }: MachineContext): void {
  if (!isRoot) throw new UserError("--boot needs root: it installs a unit of the machine's");
  if (!existsSync(folder)) throw new UserError(`--boot needs systemd: ${folder} does not exist on this machine`);
}

/** Installs and enables the unit; gives a line that says so. Throws UserError where there is no systemd. */
export function installBootUnit(context: MachineContext, cluster: string): string {
  checkBoot(context);
  const { dataRoot, runRoot } = context;
  const program = resolve(dirname(process.argv[1] ?? ""), "../bin/nodeless");
  const name = unitName(cluster);
  // Containers and both processes must outlive a restart of the unit, hence KillMode=process; the cgroups below belong to nodeless.
  const unit = `[Unit]
Description=Nodeless cluster ${cluster}
After=network-online.target
Wants=network-online.target

[Service]
Environment="NODELESS_DATA_ROOT=${dataRoot}" "NODELESS_RUN_ROOT=${runRoot}"
Type=oneshot
RemainAfterExit=yes
ExecStart=${program} up --name ${cluster}
ExecStop=${program} down --name ${cluster}
${environmentLines()}KillMode=process
Delegate=yes
TimeoutStartSec=120

[Install]
WantedBy=multi-user.target
`;
  writeFileSync(join(folder, name), unit);
  const isRunning = existsSync("/run/systemd/system");
  if (isRunning) spawnSync("systemctl", ["daemon-reload"]);
  const { status, stderr } = spawnSync("systemctl", ["enable", name], { encoding: "utf8" });
  if (status !== 0) throw new UserError(`systemctl enable ${name} failed: ${stderr ?? "systemctl is not installed"}`);
  return `${name} brings the cluster up at boot.`;
}

/** Removes the unit. None is success, and one of another data root's cluster of this name stays. */
export function removeBootUnit({ dataRoot }: MachineContext, cluster: string): void {
  const path = join(folder, unitName(cluster));
  if (!existsSync(path) || !readFileSync(path, "utf8").includes(`"NODELESS_DATA_ROOT=${dataRoot}"`)) return;
  spawnSync("systemctl", ["disable", unitName(cluster)]);
  rmSync(path, { force: true });
  if (existsSync("/run/systemd/system")) spawnSync("systemctl", ["daemon-reload"]);
}

// A unit starts without the environment of whoever installed it.
function environmentLines(): string {
  return ["NODELESS_DATA_ROOT", "NODELESS_RUN_ROOT"]
    .filter((name) => process.env[name] !== undefined)
    .map((name) => `Environment="${name}=${resolve(process.env[name] ?? "")}"\n`)
    .join("");
}

function unitName(cluster: string): string {
  return `nodeless-${cluster}.service`;
}
