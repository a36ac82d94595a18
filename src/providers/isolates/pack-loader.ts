/**
 * What runs in the process of a pack: workerd with a worker of ours that has as many places for pods as it has sockets, one in each pod's network. The agent says over the control
 * socket which code goes to which place, and when it ends. Each pod's code runs in an isolate of its own and sees neither this one nor the others.
 */
import { loaderFunctions, tagMark } from "./worker-sources.ts";
import type { LoaderProgram } from "./loader.ts";

/** Pods that one process can take, one after another: workerd takes listening sockets at its start only. */
export const placesOfPack = 16;

const places = Array.from({ length: placesOfPack }, (_, place) => place);

export function placeName(place: number): string {
  return `pod${place}`;
}

/** Control first: its descriptor is the same however many places there are. */
export const packLoader: LoaderProgram = {
  sockets: [
    { name: "control", entrypoint: "control" },
    ...places.map((place) => ({ name: placeName(place), entrypoint: placeName(place) })),
  ],
  // Promises are resolved by other requests than those that wait for them: workerd allows it as long as the waiting one is alive.
  source: `${loaderFunctions}
  const pods = new Map();
  const isolate = (env, context, pod) => env.LOADER.get(pod.name, () => withOutbound(pod.code, env, context));
  const serve = (place) => ({
    async fetch(request, env, context) {
      const pod = pods.get(place);
      if (!pod || pod.isEnding) return new Response("no code", { status: 503 });
      const { promise, resolve } = Promise.withResolvers();
      const ending = new AbortController();
      promise.then(() => ending.abort(new Error("the pod has ended")));
      pod.open.add(resolve);
      try {
        return await isolate(env, context, pod).getEntrypoint().fetch(new Request(request, { signal: ending.signal }));
      } catch (error) {
        return new Response("Internal Server Error", { status: 500 });
      } finally {
        pod.open.delete(resolve);
        if (pod.open.size === 0) pod.onIdle?.();
      }
    },
  });
  ${places.map((place) => `export const ${placeName(place)} = serve(${place});`).join("\n  ")}
  const end = async (env, context, place, pod) => {
    for (const cut of pod.open) cut();
    if (pods.get(place) === pod) pods.delete(place);
    await isolate(env, context, pod).getEntrypoint("nodelessEnd").fetch("http://end/").catch(() => {});
  };
  const load = async (env, context, { place, name, tag, ...posted }) => {
    const pod = { name, code: workerOf({ ...posted, tag: { mark: ${JSON.stringify(tagMark)}, tag } }), open: new Set() };
    const before = pods.get(place);
    if (before) await end(env, context, place, before);
    pods.set(place, pod);
    try {
      await check(isolate(env, context, pod), posted.mainModule);
      return new Response("ok");
    } catch (error) {
      pods.delete(place);
      console.error(${JSON.stringify(tagMark)} + tag + " " + inSources(error.stack ?? String(error), posted.lines), ${JSON.stringify(tagMark)});
      return new Response(inSources(String(error), posted.lines), { status: 422 });
    }
  };
  const unload = async (env, context, { place, name, graceMs }) => {
    const pod = pods.get(place);
    if (pod?.name !== name) return new Response("ok");
    pod.isEnding = true;
    if (pod.open.size > 0 && graceMs > 0)
      await Promise.race([new Promise((resolve) => (pod.onIdle = resolve)), scheduler.wait(graceMs)]);
    const isIdle = pod.open.size === 0;
    await end(env, context, place, pod);
    return new Response(isIdle ? "ok" : "cut");
  };
  export const control = {
    async fetch(request, env, context) {
      const posted = await request.json();
      if (posted.modules) return load(env, context, posted);
      return "place" in posted ? unload(env, context, posted) : new Response("waiting");
    },
  };
  export default {};
`,
};
