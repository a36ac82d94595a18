/**
 * The guest's system: Debian 12 with systemd, the cloud kernel and what nodeless needs, made by debootstrap as an ext4 disk. Made once and kept; the name of its
 * folder is a digest of all that goes into it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Files to boot from. */
export type BaseDisk = { readonly kernel: string; readonly initrd: string; readonly disk: string };

const packages = (
  "systemd-sysv dbus udev kmod linux-image-cloud-amd64 initramfs-tools zstd ca-certificates " +
  "procps iproute2 nftables conntrack socat catatonit crun runc conmon mount"
).split(" ");

const files: Readonly<Record<string, string>> = {
  "etc/hostname": "guest\n",
  "etc/hosts": "127.0.0.1 localhost guest\n",
  "etc/resolv.conf": "",
  "etc/fstab": "/dev/vda / ext4 defaults 0 1\n/dev/vdb /opt/nodeless ext4 ro 0 0\n",
  "etc/systemd/system/guest-agent.service": `[Unit]
Description=Runs commands for the test
After=local-fs.target

[Service]
ExecStartPre=/sbin/ip link set lo up
ExecStartPre=/bin/sh -c 'ip link set eth0 up && ip addr replace 10.0.2.15/24 dev eth0 && ip route replace default via 10.0.2.2'
ExecStart=/opt/nodeless/node /opt/nodeless/agent.mjs
Environment=HOME=/root PATH=/opt/nodeless/path:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
KillMode=process

[Install]
WantedBy=multi-user.target
`,
};

/** Gives the disk, making it when it is not there; that takes one to three minutes. Throws when debootstrap fails. */
export function ensureBaseDisk(): BaseDisk {
  const digest = createHash("sha256")
    .update(JSON.stringify([packages, files]))
    .digest("hex")
    .slice(0, 12);
  const cache = join(homedir(), ".cache/nodeless/guest");
  const folder = join(cache, digest);
  if (!existsSync(folder)) make(cache, folder);
  return { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd"), disk: join(folder, "disk") };
}

function make(cache: string, folder: string): void {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "making-"));
  try {
    const root = join(work, "root");
    const mirror = process.env["DEBIAN_MIRROR"] ?? "http://deb.debian.org/debian";
    run("debootstrap", ["--variant=minbase", `--include=${packages.join(",")}`, "bookworm", root, mirror]);
    for (const [path, content] of Object.entries(files)) writeFileSync(join(root, path), content);
    mkdirSync(join(root, "opt/nodeless"), { recursive: true });
    run("chroot", [root, "systemctl", "enable", "guest-agent.service"]);
    run("chroot", [root, "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"]);
    run("chroot", [root, "sh", "-c", "rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*"]);
    const boot = readdirSync(join(root, "boot"));
    const bootFile = (prefix: string) => join(root, "boot", boot.find((name) => name.startsWith(prefix)) ?? prefix);
    const made = join(work, "made");
    mkdirSync(made);
    cpSync(bootFile("vmlinuz-"), join(made, "vmlinuz"));
    cpSync(bootFile("initrd.img-"), join(made, "initrd"));
    run("mkfs.ext4", ["-q", "-F", "-d", root, join(made, "disk"), "4G"]);
    renameSync(made, folder);
  } finally {
    // debootstrap leaves its mounts when it is interrupted; what is mounted is not removed.
    for (const name of ["proc", "sys", "dev/pts", "dev"]) spawnSync("umount", ["-l", join(work, "root", name)]);
    rmSync(work, { recursive: true, force: true, maxRetries: 3 });
  }
}

function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, DEBIAN_FRONTEND: "noninteractive" },
  });
}
