import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runTool, toolEnvironment } from "./tool.ts";

describe("a tool of a build", () => {
  const run = (command: readonly [string, ...string[]], lines: string[] = [], user?: number) =>
    runTool(command, { cwd: "/", environment: toolEnvironment("/tmp"), user, say: (line) => lines.push(line) });

  it("is heard line by line, and sees little of this machine", async () => {
    const lines: string[] = [];
    process.env["NODELESS_SECRET_OF_TEST"] = "x";
    const printed = await run(["sh", "-c", "echo one; echo two >&2; env"], lines);
    delete process.env["NODELESS_SECRET_OF_TEST"];

    assert.equal(printed[0], "one");
    assert.ok(lines.includes("two"));
    assert.equal(
      printed.some((line) => line.includes("NODELESS_SECRET")),
      false,
    );
  });

  it("that fails is told with its last words, one that is not there by its name", async () => {
    await assert.rejects(run(["sh", "-c", "echo no such thing >&2; exit 3"]), {
      kind: "ToolFailed",
      message: "sh ended with exit code 3",
      lines: ["no such thing"],
    });
    await assert.rejects(run(["no-such-tool"]), {
      kind: "ToolMissing",
      message: "no-such-tool is not on this machine",
    });
  });

  it("is the user for good", { skip: process.getuid?.() === 0 ? false : "needs root" }, async () => {
    const user = 0x30_0000;
    const status = await run(["grep", "-E", "^(Uid|Gid|CapPrm|CapEff)", "/proc/self/status"], [], user);

    const ids = `${user}\t${user}\t${user}\t${user}`;
    assert.deepEqual(status, [
      `Uid:\t${ids}`,
      `Gid:\t${ids}`,
      "CapPrm:\t0000000000000000",
      "CapEff:\t0000000000000000",
    ]);
    assert.equal(process.geteuid?.(), 0);
  });
});
