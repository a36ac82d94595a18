import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import type { CommandContext } from "#cli/command.ts";
import { runCommandLine } from "#cli/command-line.ts";
import { functionCommands } from "./functions.ts";

/** Runs a command line on a cluster that answers every request with this. */
async function run(line: string, error: StatusError, status: { readonly isRunning: boolean; hasServing: boolean }) {
  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  const transport = { request: () => Promise.reject(error), close: async () => {} };
  const context = {
    terminal: { print: say, warn: say },
    machine: { connect: async () => transport, status: async () => status },
    isDebugging: false,
  } as unknown as CommandContext;
  const code = await runCommandLine(functionCommands, line.split(" "), context);
  return { code, said: said.join("\n") };
}

test("a stopped cluster is said to be stopped", async () => {
  const silent = new StatusError({ reason: "ServiceUnavailable", code: 503, message: "connect ECONNREFUSED" });
  const stopped = { isRunning: false, hasServing: true };

  for (const line of ["fn list", "fn describe hello", "fn invoke hello", "fn delete hello"]) {
    const { code, said } = await run(`${line} --name other`, silent, stopped);
    assert.equal(code, 1, line);
    assert.match(said, /cluster "other" is stopped: 'nodeless up --name other' starts it/, line);
  }
  const { said } = await run("fn list", silent, { isRunning: true, hasServing: true });
  assert.match(said, /ECONNREFUSED/);
});

test("a cluster without Serving is said to run no functions", async () => {
  const unknown = new StatusError({ reason: "NotFound", code: 404, message: "could not find the resource" });

  for (const line of ["fn list", "fn describe hello", "fn logs hello"]) {
    const { code, said } = await run(line, unknown, { isRunning: true, hasServing: false });
    assert.equal(code, 1, line);
    assert.match(said, /cluster "default" runs no functions: 'nodeless fn deploy' adds them/, line);
  }
  assert.match((await run("fn describe x", unknown, { isRunning: true, hasServing: true })).said, /could not find/);
});
