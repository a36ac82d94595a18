/**
 * `nodeless image load|build|ls|tag|push|rm`, `nodeless doctor` and `nodeless version`: the machine's images and abilities.
 */
import { type Command, textFlag, UserError } from "#cli/command.ts";
import { columns } from "#cli/columns.ts";

const load: Command = {
  name: "image load",
  usage: "FILE|FOLDER…",
  summary: "Load images from OCI layouts, OCI archives or docker archives, or bundles (folders with index.js)",
  minPositionals: 1,
  flags: { tag: { type: "string", short: "t", value: "NAME", help: "Name for an image that carries none" } },
  async run(args, { terminal, machine }) {
    for (const path of args.positionals) {
      const names = await machine.loadImage(path, textFlag(args, "tag"));
      for (const name of names) terminal.print(`Loaded ${name}`);
    }
    return 0;
  },
};

const build: Command = {
  name: "image build",
  usage: "FOLDER",
  summary: "Build an image of a folder with a Dockerfile (by buildah), or with modules for isolates",
  details: [
    "Pods of this machine can run it at once. A name of the cluster's registry (nodeless status) puts it there too.",
  ],
  examples: ["image build . --tag localhost:5000/shop/api:v1"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    tag: { type: "string", short: "t", value: "NAME", help: "Name of the image" },
    file: { type: "string", short: "f", value: "FILE", help: "The Dockerfile's path in the folder" },
    target: { type: "string", value: "STAGE", help: "Stage to build" },
    "build-arg": { type: "string", value: "NAME=VALUE", multiple: true, help: "Value for an ARG of the Dockerfile" },
  },
  async run(args, { terminal, machine }) {
    const tag = textFlag(args, "tag");
    if (tag === undefined) throw new UserError("say with --tag what the image is to be called", { exitCode: 2 });
    const [file, target] = [textFlag(args, "file"), textFlag(args, "target")];
    const request = {
      folder: args.positionals[0] ?? ".",
      tag,
      ...(file !== undefined && { file }),
      ...(target !== undefined && { target }),
      buildArgs: Object.fromEntries(listOf(args.flags["build-arg"]).map(pairOf)),
    };
    const { digest, name, isPublished } = await machine.buildImage(request, (line) => terminal.print(line));
    terminal.print(`Built ${name} (${digest})${isPublished ? ", in the registry" : ""}`);
    return 0;
  },
};

function listOf(value: string | boolean | readonly string[] | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

function pairOf(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UserError(`--build-arg must be NAME=VALUE, not "${text}"`, { exitCode: 2 });
  return [text.slice(0, equals), text.slice(equals + 1)];
}

const ls: Command = {
  name: "image ls",
  aliases: ["image list"],
  usage: "",
  summary: "List the images of this machine",
  maxPositionals: 0,
  flags: {},
  async run(_args, { terminal, machine }) {
    const images = await machine.listImages();
    const rows = images.flatMap(({ names, id, sizeBytes }) =>
      (names.length === 0 ? ["<none>"] : names).map((name) => [
        name,
        id.replace("sha256:", "").slice(0, 12),
        size(sizeBytes),
      ]),
    );
    for (const line of columns([["IMAGE", "ID", "SIZE"], ...rows])) terminal.print(line);
    return 0;
  },
};

const tag: Command = {
  name: "image tag",
  usage: "IMAGE NAME",
  summary: "Give an image one more name",
  details: ["On this machine only: what is in a registry keeps its names; 'image push' puts it there."],
  examples: ["image tag nginx:1.27 shop/web:v2"],
  minPositionals: 2,
  maxPositionals: 2,
  flags: {},
  async run({ positionals: [image = "", name = ""] }, { terminal, machine }) {
    terminal.print(`Tagged ${await machine.tagImage(image, name)}`);
    return 0;
  },
};

const push: Command = {
  name: "image push",
  usage: "IMAGE [TARGET]",
  summary: "Put an image of this machine into a registry: the cluster's, or any other",
  details: [
    "TARGET is the name that it gets there; without one it is IMAGE itself. Credentials: registries.yaml, and what docker login left.",
  ],
  examples: ["image push busybox localhost:5000/shop/busybox:v1", "image push registry.example.com/shop/api:v1"],
  minPositionals: 1,
  maxPositionals: 2,
  flags: {},
  async run({ positionals: [image = "", target = image] }, { terminal, machine }) {
    const { name, digest } = await machine.pushImage(image, target);
    terminal.print(`Pushed ${name} (${digest})`);
    return 0;
  },
};

const rm: Command = {
  name: "image rm",
  aliases: ["image remove"],
  usage: "IMAGE…",
  summary: "Remove images",
  details: [
    "What containers of this machine need stays. What was pushed into the clusters' registry stays there, but --all takes what belonged to clusters that are gone, with the last cluster everything, and what builds keep.",
  ],
  flags: { all: { type: "boolean", help: "All images, and what no cluster needs any more" } },
  async run(args, { terminal, machine }) {
    const isAll = args.flags["all"] === true;
    if (isAll === args.positionals.length > 0)
      throw new UserError("wants the names of images, or --all", { exitCode: 2 });
    if (isAll) {
      const { removed, kept, repositories, keptRepositories, isBuilding } = await machine.removeAllImages();
      for (const name of removed) terminal.print(`Removed ${name}`);
      for (const name of repositories) terminal.print(`Removed ${name} from the registry`);
      for (const name of kept) terminal.warn(`${name} stays: a container of this machine needs it`);
      for (const name of keptRepositories) terminal.warn(`${name} stays in the registry: there are clusters`);
      if (isBuilding) terminal.warn("What builds keep stays: one is under way");
      if (removed.length + kept.length + repositories.length === 0) terminal.print("There are no images.");
      return 0;
    }
    for (const name of args.positionals) {
      await machine.removeImage(name);
      terminal.print(`Removed ${name}`);
    }
    return 0;
  },
};

const doctor: Command = {
  name: "doctor",
  usage: "",
  summary: "Say what this machine can do, what is missing, and how to get it",
  maxPositionals: 0,
  flags: {},
  async run(_args, { terminal, machine }) {
    const findings = await machine.doctor();
    const marks = { ok: "✓", limited: "!", missing: "✗" } as const;
    for (const { topic, state, detail, advice } of findings) {
      terminal.print(` ${marks[state]} ${topic.padEnd(20)} ${detail}`);
      if (advice !== undefined) terminal.print(`   ${" ".repeat(20)} → ${advice}`);
    }
    return findings.some(({ state }) => state === "missing") ? 1 : 0;
  },
};

const version: Command = {
  name: "version",
  aliases: ["--version", "-v"],
  usage: "",
  summary: "Say which version this is",
  maxPositionals: 0,
  flags: {},
  async run(_args, { terminal, machine }) {
    terminal.print(`nodeless ${machine.versions.nodeless} (Kubernetes ${machine.versions.kubernetes})`);
    return 0;
  },
};

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** All commands of this file. */
export const machineCommands: readonly Command[] = [load, build, ls, tag, push, rm, doctor, version];
