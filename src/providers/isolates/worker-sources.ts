/**
 * What of ours runs beside a pod's code, as source text: the wrapper that is the main module of each isolate, what is set up before the pod's first module, and how a loader
 * makes a worker of what the agent posts. Loaders are made of it: loader.ts (an isolate alone in its process), pack-loader.ts (many in one).
 */
import { endSource, entryName, handlerSource } from "./handler-source.ts";
import { inSourcesSource, linesName, stackSource } from "./stack-source.ts";

const timersName = "nodeless-timers.js";
const consoleName = "nodeless-console.js";
const stackName = "nodeless-stack.js";

/** Begins what an isolate says, before its tag, and ends it: a character that no text has. */
export const tagMark = "\u001e";

/**
 * Node's timers as globals, taken in when they are first used: workerd's own way (nodejs_global_timers) loads them at start, a third of all that a small worker costs.
 * They look for the web's timers when they are loaded, by these very names: so they find those until they are there themselves.
 */
const timersSource = `
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
 * A console whose messages say whose they are, for isolates that share a process and its output. The tag is known to this isolate alone, so nobody speaks for another. The first
 * argument may be a format, so the tag is put before its text.
 */
const consoleSource = `
  const { mark, tag } = TAG;
  const plain = {};
  for (const name of ["log", "debug", "info", "warn", "error"]) plain[name] = console[name].bind(console);
  const say = (name) => (...parts) => {
    const [first] = parts;
    if (typeof first === "string") plain[name](mark + tag + " " + first, ...parts.slice(1), mark);
    else plain[name](mark + tag, ...parts, mark);
  };
  for (const name of Object.keys(plain)) console[name] = say(name);
  console.trace = (...parts) => console.error(...parts, new Error("Trace").stack);
  console.assert = (holds, ...parts) => { if (!holds) console.error("Assertion failed", ...parts); };
  console.dir = (value) => console.log(value);
  console.dirxml = console.log;
  console.table = (value) => console.log(value);
  console.group = console.groupCollapsed = console.log;
  console.groupEnd = () => {};
  const counts = new Map(), begun = new Map();
  console.count = (label = "default") => {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    console.log(label + ": " + counts.get(label));
  };
  console.countReset = (label = "default") => counts.delete(label);
  console.time = (label = "default") => begun.set(label, Date.now());
  console.timeLog = console.timeEnd = (label = "default", ...parts) =>
    console.log(label + ": " + (Date.now() - (begun.get(label) ?? Date.now())) + "ms", ...parts);`;

/**
 * Functions of a loader: `inSources(text, lines)` as in stack-source.ts; `workerOf(posted)` and `withOutbound(worker, env, context)` give what workerd's loader takes, `check(stub)` makes workerd load everything now, so that a fault is known
 * before the pod is called ready. It throws what the code threw.
 *
 * What a bundle says of its connections (`outbound.allow`) is enforced by the engine: nothing at all, networks as workerd knows them (then raw sockets too), or names of hosts, which are compared before a
 * request goes out.
 */
export const loaderFunctions: string = `
  const sources = ${JSON.stringify({ timersSource, consoleSource, stackSource, handlerSource, endSource })};
  ${inSourcesSource}
  const bytes = (text) => Uint8Array.fromBase64(text).buffer;
  const workerOf = ({ mainModule, modules, lazyTimers, lines, tag, ...rest }) => {
    for (const module of Object.values(modules)) {
      if ("data" in module) module.data = bytes(module.data);
      if ("wasm" in module) module.wasm = bytes(module.wasm);
    }
    const first = [];
    if (lazyTimers) first.push(["${timersName}", sources.timersSource]);
    if (tag) first.push(["${consoleName}", sources.consoleSource.replace("TAG", JSON.stringify(tag))]);
    if (lines) {
      modules["${linesName}"] = { text: lines };
      first.push(["${stackName}", sources.stackSource]);
    }
    for (const [name, js] of first) modules[name] = { js };
    modules["${entryName}"] = { js: first.map(([name]) => "import " + JSON.stringify("./" + name) + ";").join("") + \`
      import * as main from \${JSON.stringify("./" + mainModule)};
      export const nodelessCheck = {
        fetch() {
          const handler = main.default;
          const isHandler = typeof handler?.fetch === "function" || typeof handler?.prototype?.fetch === "function";
          return new Response(null, { status: isHandler ? 204 : 404 });
        },
      };\` + sources.handlerSource + (tag ? sources.endSource : "") };
    return { ...rest, mainModule: "${entryName}", modules };
  };
  const networks = ["public", "private"];
  const fits = (host, one) => one === host || (one.startsWith("*.") && host.endsWith(one.slice(1)));
  const networkOf = (allow, env) => {
    const named = networks.filter((name) => allow.includes(name));
    return named.length === 0 ? undefined : named.length === 2 ? env.REACHABLE : env[named[0].toUpperCase()];
  };
  const withOutbound = ({ outbound: rule, ...worker }, env, context) => {
    if (!rule) return worker;
    const { allow } = rule;
    const hosts = allow.filter((one) => !networks.includes(one));
    if (hosts.length > 0) return { ...worker, globalOutbound: context.exports.outbound({ props: { allow } }) };
    return { ...worker, globalOutbound: networkOf(allow, env) ?? null };
  };
  export const outbound = {
    fetch(request, env, { props: { allow } }) {
      const { hostname } = new URL(request.url);
      if (allow.some((one) => fits(hostname, one))) return fetch(request);
      const network = networkOf(allow, env);
      if (!network) throw new Error("network.outbound does not allow " + hostname);
      return network.fetch(request);
    },
  };
  const check = async (stub, mainModule) => {
    const { status } = await stub.getEntrypoint("nodelessCheck").fetch("http://check/");
    if (status !== 204) throw new TypeError(mainModule + " has no default export with a fetch handler");
  };
`;
