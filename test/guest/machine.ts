/**
 * A running guest: QEMU in software emulation, with a port of 127.0.0.1 forwarded to the guest's agent.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "#component-base/testing/free-port.ts";
import type { Outcome } from "../support/cluster.ts";
import type { BaseDisk } from "./base-disk.ts";

/** True where guests can run. */
export function hasQemu(): boolean {
  return (
    process.getuid?.() === 0 &&
    spawnSync("sh", ["-c", "PATH=$PATH:/usr/sbin command -v qemu-system-x86_64 debootstrap mkfs.ext4"]).status === 0
  );
}

/** A guest that has booted. */
export class GuestMachine {
  readonly #qemu: ChildProcess;
  readonly #port: number;

  constructor(qemu: ChildProcess, port: number) {
    this.#qemu = qemu;
    this.#port = port;
  }

  /** Runs a shell script in the guest, to its end. Throws when it fails, unless `mayFail`. */
  async run(
    script: string,
    { mayFail = false, timeoutMs = 300_000 }: { readonly mayFail?: boolean; readonly timeoutMs?: number } = {},
  ): Promise<Outcome> {
    const outcome = await ask(this.#port, script, timeoutMs);
    if (outcome.code !== 0 && !mayFail)
      throw new Error(`in the guest: ${script}\nended with ${outcome.code}:\n${outcome.stdout}${outcome.stderr}`);
    return outcome;
  }

  /** Restarts the guest's system and waits until it has another boot id. `hard` is the reset button: nothing is written back before. */
  async reboot({ hard = false }: { readonly hard?: boolean } = {}): Promise<void> {
    const before = await this.#bootId();
    await this.run(hard ? "echo b > /proc/sysrq-trigger" : "systemctl reboot", { timeoutMs: 5_000 }).catch(() => {});
    await this.#waitUntilUp(before);
  }

  /** Ends QEMU. */
  async stop(): Promise<void> {
    if (this.#qemu.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#qemu.once("exit", resolve));
    this.#qemu.kill("SIGKILL");
    await ended;
  }

  async #bootId(): Promise<string> {
    return (await this.run("cat /proc/sys/kernel/random/boot_id", { timeoutMs: 5_000 })).stdout.trim();
  }

  async #waitUntilUp(previousBootId?: string): Promise<void> {
    const deadlineMs = Date.now() + 180_000;
    while (Date.now() < deadlineMs) {
      if (this.#qemu.exitCode !== null) throw new Error(`qemu ended with ${this.#qemu.exitCode}`);
      const bootId = await this.#bootId().catch(() => undefined);
      if (bootId !== undefined && bootId !== previousBootId) return;
      await sleep(200);
    }
    throw new Error("the guest's agent did not answer for 180 s; its console is in the log");
  }

  /** Boots; gives the machine when its agent answers. The guest's console goes to `consoleLog`. */
  static async boot(base: BaseDisk, nodelessDisk: string, consoleLog: string): Promise<GuestMachine> {
    const port = await freePort();
    const qemu = spawn("qemu-system-x86_64", qemuArguments(base, nodelessDisk, port), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(consoleLog);
    qemu.stdout.pipe(log, { end: false });
    qemu.stderr.pipe(log, { end: false });
    const machine = new GuestMachine(qemu, port);
    try {
      await machine.#waitUntilUp();
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  }
}

// Not fetch(): it gives up when an answer takes five minutes.
function ask(port: number, script: string, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ host: "127.0.0.1", port, method: "POST", agent: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as Outcome));
    });
    asked.on("error", reject);
    asked.end(script);
  });
}

function qemuArguments({ kernel, initrd, disk }: BaseDisk, nodelessDisk: string, port: number): readonly string[] {
  return [
    ["-accel", "tcg,thread=multi", "-cpu", "max", "-M", "pc", "-smp", "2", "-m", "3072"],
    ["-nographic", "-serial", "mon:stdio"],
    ["-kernel", kernel, "-initrd", initrd],
    ["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.show_status=0 quiet"],
    ["-drive", `file=${disk},format=raw,if=virtio,snapshot=on,cache=unsafe`],
    ["-drive", `file=${nodelessDisk},format=raw,if=virtio,readonly=on`],
    ["-netdev", `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${port}-10.0.2.15:7000`],
    ["-device", "virtio-net-pci,netdev=net0"],
  ].flat();
}
