import assert from "node:assert/strict";
import { test } from "node:test";
import { type Command, type CommandContext, UserError } from "./command.ts";
import { runCommandLine } from "./command-line.ts";

function contextOf(isDebugging = false): CommandContext & { readonly printed: string[]; readonly warned: string[] } {
  const [printed, warned]: [string[], string[]] = [[], []];
  const terminal = {
    isInteractive: false,
    print: (line: string) => void printed.push(line),
    warn: (line: string) => void warned.push(line),
    write: async () => {},
    confirm: async () => undefined,
    stage: () => ({ done() {}, failed() {} }),
  };
  return { terminal, machine: {} as CommandContext["machine"], isDebugging, printed, warned };
}

function command(name: string, more: Partial<Command> = {}): Command {
  return { name, usage: "", summary: `Does ${name}`, flags: {}, run: async () => 0, ...more };
}

const commands = [
  command("up", { flags: { expose: { type: "boolean", help: "Listens everywhere" } } }),
  command("image load", { usage: "FILE…", minPositionals: 1 }),
  command("image ls", { aliases: ["image list"] }),
];

test("a command of two words is found, also by another name for it", async () => {
  const ran: string[] = [];
  const spies = commands.map((one) => ({ ...one, run: async () => (ran.push(one.name), 0) }));

  for (const line of ["up", "image load x", "image ls", "image list"])
    assert.equal(await runCommandLine(spies, line.split(" "), contextOf()), 0);

  assert.deepEqual(ran, ["up", "image load", "image ls", "image ls"]);
});

test("the first word of commands of two shows what there is", async () => {
  for (const line of ["image", "image --help", "image -h"]) {
    const context = contextOf();
    const code = await runCommandLine(commands, line.split(" "), context);
    const text = [...context.printed, ...context.warned].join("\n");

    assert.match(text, /Usage: nodeless image COMMAND[^]*image load +Does image load[^]*image ls +Does image ls/, line);
    assert.equal(code, line === "image" ? 2 : 0);
  }
});

test("an unknown command is refused, with the nearest one that there is", async () => {
  const said = async (line: string) => {
    const context = contextOf();
    assert.equal(await runCommandLine(commands, line.split(" "), context), 2);
    return context.warned.join("\n");
  };

  assert.equal(await said("upp"), `nodeless: unknown command "upp"; did you mean "up"? See 'nodeless --help'.`);
  assert.equal(
    await said("image lod"),
    `nodeless: unknown command "image lod"; did you mean "image load"? See 'nodeless image --help'.`,
  );
  assert.equal(await said("xyzzy"), `nodeless: unknown command "xyzzy". See 'nodeless --help'.`);
});

test("errors of the user and the machine are said as they are, others are called bugs, and debugging shows where", async () => {
  const system = Object.assign(new Error("EACCES: permission denied, mkdir '/x'"), { syscall: "mkdir" });
  const failing = (error: unknown) => [command("up", { run: () => Promise.reject(error) })];
  const outcome = async (error: unknown, isDebugging = false) => {
    const context = contextOf(isDebugging);
    return { code: await runCommandLine(failing(error), ["up"], context), said: context.warned.join("\n") };
  };

  assert.deepEqual(await outcome(new UserError("no", { exitCode: 2 })), { code: 2, said: "nodeless up: no" });
  assert.deepEqual(await outcome(system), { code: 1, said: "nodeless up: EACCES: permission denied, mkdir '/x'" });
  assert.match(
    (await outcome(new TypeError("x of undefined"))).said,
    /^nodeless up: x of undefined\. That is a bug of nodeless; NODELESS_LOG=debug/,
  );
  assert.match((await outcome(new TypeError("x of undefined"), true)).said, /\n {4}at /);
});

test("a switch can be taken back by --no-", async () => {
  const given: unknown[] = [];
  const spy = { ...commands[0], run: async ({ flags }: { flags: object }) => (given.push({ ...flags }), 0) } as Command;

  await runCommandLine([spy], ["up", "--expose"], contextOf());
  await runCommandLine([spy], ["up", "--no-expose"], contextOf());

  assert.deepEqual(given, [{ expose: true }, { expose: false }]);
});

test("help of a command is shown by either way of asking", async () => {
  const [one, other] = [contextOf(), contextOf()];

  assert.equal(await runCommandLine(commands, ["help", "image", "load"], one), 0);
  assert.equal(await runCommandLine(commands, ["image", "load", "--help"], other), 0);

  assert.match(one.printed.join("\n"), /Usage: nodeless image load FILE…/);
  assert.deepEqual(one.printed, other.printed);
});

test("what is behind the first word of a command to run is the command's, with and without --", async () => {
  const given: unknown[] = [];
  const flags = {
    stdin: { type: "boolean", short: "i", help: "" },
    container: { type: "string", short: "c", help: "" },
  } as const;
  const spy = command("exec", { optionsEndAfter: 1, flags, run: async (args) => (given.push(args), 0) });

  for (const line of ["-i -c one pod sh -c exit", "pod -i -c one sh -c exit", "pod -ic one -- sh -c exit"])
    assert.equal(await runCommandLine([spy], ["exec", ...line.split(" ")], contextOf()), 0, line);
  await runCommandLine([spy], ["exec", "pod", "ls", "--help"], contextOf());

  const wanted = { positionals: ["pod", "sh", "-c", "exit"], flags: { stdin: true, container: "one" } };
  assert.deepEqual(JSON.parse(JSON.stringify(given.slice(0, 3))), [wanted, wanted, wanted]);
  assert.deepEqual((given[3] as { readonly positionals: unknown }).positionals, ["pod", "ls", "--help"]);
});

test("a number below zero is a flag's value", async () => {
  const given: unknown[] = [];
  const flags = { nodes: { type: "string", help: "" } } as const;
  const spy = command("up", { flags, run: async (args) => (given.push(args.flags["nodes"]), 0) });

  await runCommandLine([spy], ["up", "--nodes", "-3"], contextOf());

  assert.deepEqual(given, ["-3"]);
});
