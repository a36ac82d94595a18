/**
 * What runs in a cage before its pod is known: workerd with one worker of ours, which loads the pod's modules when the agent posts them to the control socket, and hands
 * every request at the pod's port to them. The pod's code runs in an isolate of its own and cannot see this one.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Names of the two sockets, which workerd inherits as descriptors 3 and 4. */
export const sockets = { pod: "pod", control: "control" } as const;

/** A module as workerd's loader takes it. */
export type ModuleContent =
  | { readonly js: string }
  | { readonly cjs: string }
  | { readonly text: string }
  | { readonly json: unknown }
  /** Base64. */
  | { readonly data: string }
  | { readonly wasm: string };

/** What is posted to the control socket. */
export type IsolateCode = {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** Whether Node's timers are to be the global ones: see below. */
  readonly lazyTimers: boolean;
  readonly mainModule: string;
  readonly modules: Readonly<Record<string, ModuleContent>>;
  readonly env: Readonly<Record<string, string>>;
};

const entry = "nodeless-entry.js";
const preludeName = "nodeless-prelude.js";

/**
 * Node's timers as globals, taken in when they are first used: workerd's own way (nodejs_global_timers) loads them at start, a third of all that a small worker costs.
 * They look for the web's timers when they are loaded, by these very names: so they find those until they are there themselves.
 */
const preludeSource = `
  const names = ["setTimeout", "setInterval", "setImmediate", "clearTimeout", "clearInterval", "clearImmediate"];
  const web = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
  let isLoading = false;
  const put = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
  const load = () => {
    isLoading = true;
    try {
      const timers = process.getBuiltinModule("node:timers");
      for (const name of names) if (Object.getOwnPropertyDescriptor(globalThis, name).get) put(name, timers[name]);
    } finally {
      isLoading = false;
    }
  };
  for (const name of names)
    Object.defineProperty(globalThis, name, {
      enumerable: true,
      configurable: true,
      get() {
        if (isLoading || new Error().stack.includes("node-internal:")) return web[name];
        load();
        return Object.getOwnPropertyDescriptor(globalThis, name).value ?? web[name];
      },
      set: (value) => put(name, value),
    });`;

/**
 * The loader. The code is kept because workerd may ask for it again. What is posted is wrapped: a request to the wrapper's check makes workerd load everything now, so that a
 * fault is known before the pod is called ready. The stub is made anew for each request, as workerd binds it to one.
 */
const loaderSource = `
  const prelude = ${JSON.stringify(preludeSource)};
  let code;
  const isolate = (env) => env.LOADER.get("pod", () => code);
  export default {
    // At the pod's port people may be sooner than the code.
    fetch: (request, env) =>
      code ? isolate(env).getEntrypoint().fetch(request) : new Response("no code yet", { status: 503 }),
  };
  const wrapper = (mainModule, hasPrelude) => \`
    \${hasPrelude ? 'import "./${preludeName}";' : ""}
    import * as main from \${JSON.stringify("./" + mainModule)};
    export default main.default ?? { fetch() {} };
    export const nodelessCheck = {
      fetch() {
        const handler = main.default;
        const isHandler = typeof handler?.fetch === "function" || typeof handler?.prototype?.fetch === "function";
        return new Response(null, { status: isHandler ? 204 : 404 });
      },
    };\`;
  export const control = {
    async fetch(request, env) {
      const { mainModule, modules, lazyTimers, ...rest } = await request.json();
      if (!modules) return new Response("waiting");
      const bytes = (text) => Uint8Array.fromBase64(text).buffer;
      for (const module of Object.values(modules)) {
        if ("data" in module) module.data = bytes(module.data);
        if ("wasm" in module) module.wasm = bytes(module.wasm);
      }
      if (lazyTimers) modules["${preludeName}"] = { js: prelude };
      modules["${entry}"] = { js: wrapper(mainModule, lazyTimers) };
      code = { ...rest, mainModule: "${entry}", modules };
      try {
        const { status } = await isolate(env).getEntrypoint("nodelessCheck").fetch("http://check/");
        if (status === 204) return new Response("ok");
        throw new TypeError(mainModule + " has no default export with a fetch handler");
      } catch (error) {
        console.error(error.stack ?? String(error));
        return new Response(String(error), { status: 422 });
      }
    },
  };
`;

/** What pods may reach that have a network of their own: other pods, Services, the internet and their own loopback, as from a container. No Unix sockets. */
export const reachableFromOwnNetwork: readonly string[] = ["public", "private", "local"];

/** Writes workerd's configuration in its binary form into a folder; gives its path. */
export async function compileConfiguration(options: {
  readonly workerd: string;
  readonly compatibilityDate: string;
  readonly folder: string;
  /** What code may connect to: networks as workerd names them, and CIDRs. */
  readonly reachable: readonly string[];
}): Promise<string> {
  const text = join(options.folder, "loader.capnp");
  const binary = join(options.folder, "loader.bin");
  await writeFile(text, configurationText(options));
  const { stdout } = await promisify(execFile)(options.workerd, ["compile", "--config-only", text], {
    encoding: "buffer",
  });
  await writeFile(binary, stdout, { mode: 0o644 });
  return binary;
}

function configurationText(options: {
  readonly compatibilityDate: string;
  readonly reachable: readonly string[];
}): string {
  const socket = (name: string, entrypoint: string) =>
    `(name = "${name}", address = "127.0.0.1:0", http = (), service = (name = "loader"${entrypoint}))`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "loader", worker = (
      modules = [(name = "loader.js", esModule = ${JSON.stringify(loaderSource)})],
      compatibilityDate = "${options.compatibilityDate}",
      bindings = [(name = "LOADER", workerLoader = ())],
    )),
    (name = "internet", network = (
      allow = ${JSON.stringify(options.reachable)},
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [${socket(sockets.pod, "")}, ${socket(sockets.control, ', entrypoint = "control"')}],
);
`;
}
