/**
 * Sends a GitSource's events: the pushes that its Repository's status lists, each once and in order, from the one on that was told last. Repositories keep the last 50: who was away for more has missed those before, which is logged.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { compileKeyPattern } from "#eventing/sources/key-pattern.ts";
import type { GitSource } from "#eventing/sources/kinds.ts";
import { gitPushEvent } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { deliver, sourceRef, targetOf, withOverrides } from "./deliver.ts";

const repositories = { group: "nodeless.dev", version: "v1alpha1", resource: "repositories" };

type Push = {
  readonly number: number;
  readonly branch: string;
  readonly commit: string;
  readonly before?: string;
  readonly user?: string;
  readonly time?: string;
};
type Repository = KubeObject & { readonly status?: { readonly pushes?: readonly Push[] } };

export function gitAdapter(context: SourceAdaptersContext): AdapterKind<GitSource> {
  return {
    name: "gitsource",
    placePrefix: "git",
    fingerprint(source) {
      const target = targetOf(source);
      return target === undefined ? undefined : JSON.stringify([source.spec, target]);
    },
    run: (source, signal) => run(context, source, signal),
  };
}

async function run(context: SourceAdaptersContext, source: GitSource, signal: AbortSignal): Promise<void> {
  const { namespace = "" } = source.metadata ?? {};
  const { repository } = source.spec ?? {};
  const informer = context.informers.informer<Repository>({ resource: repositories });
  let wake = () => {};
  const look = () => wake();
  const disconnect = informer.addHandler({ onAdd: look, onUpdate: look });
  signal.addEventListener("abort", look, { once: true });
  try {
    await informer.waitForSync(signal);
    for (;;) {
      const changed = new Promise<void>((resolve) => (wake = resolve));
      const all = informer.lister.list().filter(({ metadata }) => metadata?.namespace === namespace);
      for (const one of all)
        if (repository === undefined || one.metadata?.name === repository) await tell(context, source, one, signal);
      await changed;
      signal.throwIfAborted();
    }
  } finally {
    signal.removeEventListener("abort", look);
    disconnect();
  }
}

/** Pushes before the source was made are no news. */
async function tell(
  context: SourceAdaptersContext,
  source: GitSource,
  repository: Repository,
  signal: AbortSignal,
): Promise<void> {
  const { places, logger } = context;
  const { name = "", namespace = "", uid = "" } = repository.metadata ?? {};
  const place = `git/${source.metadata?.uid ?? ""}/${name}/`;
  const told = readPlace(places.get(place), uid);
  const { pushes = [] } = repository.status ?? {};
  const news = pushes.filter(({ number }) => number > (told ?? 0));
  const [first] = news;
  if (first !== undefined && told !== undefined && first.number > told + 1)
    logger.warn("Missed pushes", { repository: `${namespace}/${name}`, pushes: first.number - told - 1 });
  for (const push of news) {
    if (isWanted(source, push.branch) && !(told === undefined && isOlder(push, source))) {
      const { time, ...facts } = push;
      const timeMs = Date.parse(time ?? "") || context.clock.now();
      await send(context, source, gitPushEvent(repository, { ...facts, repository: name, timeMs }), signal);
    }
    places.set(place, Buffer.from(`${uid} ${push.number}`));
    await places.flush();
  }
  if (news.length > 0 || told !== undefined) return;
  places.set(place, Buffer.from(`${uid} 0`));
  await places.flush();
}

/** The number that was told last; undefined: none, or those of another repository of this name. */
function readPlace(bytes: Uint8Array | undefined, uid: string): number | undefined {
  const [of, number] = Buffer.from(bytes ?? [])
    .toString()
    .split(" ");
  return of === uid && number !== undefined ? Number(number) : undefined;
}

/** To the second, as objects know when they were made. */
function isOlder({ time }: Push, { metadata }: GitSource): boolean {
  return Date.parse(time ?? "") < Date.parse(metadata?.creationTimestamp ?? "");
}

function isWanted({ spec }: GitSource, branch: string): boolean {
  return spec?.branches === undefined || spec.branches.some((pattern) => compileKeyPattern(pattern)(branch));
}

async function send(
  context: SourceAdaptersContext,
  source: GitSource,
  event: ReturnType<typeof gitPushEvent>,
  signal: AbortSignal,
): Promise<void> {
  const target = targetOf(source);
  if (target === undefined) return;
  const told = withOverrides(event, source.spec?.ceOverrides);
  await deliver(context, { event: told, target, source: sourceRef("gitsource", source), signal });
}
