/**
 * Processes beside the first: exec, attach, terminals, port-forward.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chunks, eventually, never, patienceMs, type SuiteHouse } from "./suite-house.ts";

export function otherProcessTests(house: SuiteHouse): void {
  const { sandbox, run, ended, exec } = house;

  describe("processes beside the first", () => {
    it("exec gives output, errors and the exit code", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000", { env: [{ name: "A", value: "b" }] });

      assert.deepEqual(await exec(id, "echo out $A; echo err >&2; exit 3"), {
        code: 3,
        out: "out b\n",
        err: "err\n",
      });
      await house.given.runtime.removeSandbox(pod);
    });

    it("exec reads its input to the end", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000");
      const big = Buffer.alloc(1_000_000, "x");

      const { out } = await exec(id, "wc -c", { stdin: chunks([big, Buffer.from("end")]) });

      assert.equal(out.trim(), "1000003");
      await house.given.runtime.removeSandbox(pod);
    });

    it("exec in a terminal has its size, and output and errors come together", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000");

      const { code, out } = await exec(id, "sleep 0.3; tty; stty size; echo err >&2; exit 5", {
        tty: true,
        resize: chunks([{ columns: 111, rows: 33 }]),
      });

      assert.equal(code, 5);
      assert.match(out, /\/dev\/pts\/\d+\r\n33 111\r\nerr/);
      await house.given.runtime.removeSandbox(pod);
    });

    it("the terminal of an exec follows its window", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000");
      const ready = Promise.withResolvers<void>();
      let out = "";
      async function* sizes(): AsyncGenerator<{ readonly columns: number; readonly rows: number }> {
        yield { columns: 80, rows: 24 };
        await ready.promise;
        yield { columns: 120, rows: 40 };
      }

      const command = "trap 'stty size; exit 0' WINCH; echo ready; while true; do sleep 0.05; done";
      await house.given.runtime.exec(
        id,
        ["sh", "-c", command],
        {
          tty: true,
          resize: sizes(),
          stdout: (chunk) => {
            out += Buffer.from(chunk).toString();
            if (out.includes("ready")) ready.resolve();
          },
        },
        AbortSignal.timeout(patienceMs),
      );

      assert.match(out, /40 120/);
      await house.given.runtime.removeSandbox(pod);
    });

    it("aborting an exec kills what it started", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "sleep 1000");
      const stop = new AbortController();
      const running = house.given.runtime.exec(id, ["sleep", "4713"], { tty: false }, stop.signal);
      await eventually("it runs", async () => ((await exec(id, "ps")).out.includes("sleep 4713") ? true : undefined));

      stop.abort(new Error("enough"));

      await assert.rejects(running, /enough/);
      await eventually("it is gone", async () =>
        (await exec(id, "ps")).out.includes("sleep 4713") ? undefined : true,
      );
      await house.given.runtime.removeSandbox(pod);
    });

    it("exec in a container that has ended fails", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "exit 0");
      await ended(id);

      await assert.rejects(async () => house.given.runtime.exec(id, ["true"], { tty: false }, never));
      await house.given.runtime.removeSandbox(pod);
    });

    it("attach carries input to the main process and its output back, until it ends", async () => {
      const pod = await sandbox();
      const { id } = await run(
        pod,
        "while read line; do echo got $line; echo bad >&2; [ $line = end ] && exit 0; done",
        { stdin: true },
      );
      let out = "";
      let err = "";

      await house.given.runtime.attach(
        id,
        {
          tty: false,
          stdin: chunks([Buffer.from("one\n"), Buffer.from("end\n")]),
          stdout: (chunk) => void (out += Buffer.from(chunk).toString()),
          stderr: (chunk) => void (err += Buffer.from(chunk).toString()),
        },
        AbortSignal.timeout(patienceMs),
      );

      assert.equal(out, "got one\ngot end\n");
      assert.equal(err, "bad\nbad\n");
      await house.given.runtime.removeSandbox(pod);
    });

    it("of two sizes at once, as kubectl attach sends them, the second stays", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "while true; do stty size; sleep 0.05; done", { tty: true });
      const stop = new AbortController();
      let out = "";

      const attached = house.given.runtime.attach(
        id,
        {
          tty: true,
          stdout: (chunk) => void (out += Buffer.from(chunk).toString()),
          resize: chunks([
            { columns: 101, rows: 25 },
            { columns: 100, rows: 24 },
          ]),
        },
        stop.signal,
      );
      await eventually("the second size", async () => (/24 100\r\n$/.test(out) ? true : undefined));

      stop.abort();
      await Promise.allSettled([attached]);
      await house.given.runtime.removeSandbox(pod);
    });

    it("with stdinOnce the end of the first client's input is the end of input", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "cat >/dev/null; exit 6", { stdin: true, stdinOnce: true });

      await house.given.runtime.attach(
        id,
        { tty: false, stdin: chunks([Buffer.from("x")]) },
        AbortSignal.timeout(patienceMs),
      );

      assert.equal((await ended(id)).exitCode, 6);
      await house.given.runtime.removeSandbox(pod);
    });

    it("a port that listens on the pod's own 127.0.0.1 is reached, another is refused", async () => {
      const pod = await sandbox();
      const { id } = await run(pod, "while true; do echo inside | nc -l -p 8081; done");
      await eventually("it listens", async () =>
        (await exec(id, "netstat -ltn")).out.includes(":8081") ? true : undefined,
      );

      const connection = await house.given.runtime.portForward(pod, 8081, never);
      let text = "";
      for await (const chunk of connection) text += Buffer.from(chunk as Uint8Array).toString();

      assert.equal(text, "inside\n");
      await assert.rejects(house.given.runtime.portForward(pod, 9, never));
      await house.given.runtime.removeSandbox(pod);
    });

    it("a container can join the processes of another of its pod", async () => {
      const pod = await sandbox();
      await run(pod, "sleep 4714", { name: "target" });

      const { id } = await run(pod, "sleep 1000", { name: "debug", targetContainer: "target" });

      assert.match((await exec(id, "ps")).out, /sleep 4714/);
      await house.given.runtime.removeSandbox(pod);
    });
  });
}
