/**
 * Sends a GitSource's events: what each branch of its Repository is, against what it was when it was last told of. Of several pushes to one branch while nobody looked, the last one is told.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { compileKeyPattern } from "#eventing/sources/key-pattern.ts";
import type { GitSource } from "#eventing/sources/kinds.ts";
import { gitPushEvent } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { deliver, targetOf, withOverrides } from "./deliver.ts";

const repositories = { group: "nodeless.dev", version: "v1alpha1", resource: "repositories" };

type Branch = {
  readonly name: string;
  readonly commit: string;
  readonly user?: string;
  readonly deployedAt?: string;
};
type Repository = KubeObject & { readonly status?: { readonly branches?: readonly Branch[] } };

export function gitAdapter(context: SourceAdaptersContext): AdapterKind<GitSource> {
  return {
    name: "gitsource",
    placePrefix: "git",
    fingerprint({ spec, status }) {
      const target = targetOf(status);
      return target === undefined ? undefined : JSON.stringify([spec, target]);
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

/** Branches that are there when the source is new are what there is to begin with, and no news. */
async function tell(
  context: SourceAdaptersContext,
  source: GitSource,
  repository: Repository,
  signal: AbortSignal,
): Promise<void> {
  const { places, clock } = context;
  const prefix = `git/${source.metadata?.uid ?? ""}/${repository.metadata?.name ?? ""}/`;
  const isNew = places.get(prefix) === undefined;
  const madeMs = Date.parse(source.metadata?.creationTimestamp ?? "");
  for (const { name, commit, user, deployedAt } of repository.status?.branches ?? []) {
    const before = text(places.get(prefix + name));
    if (before === commit) continue;
    const timeMs = Date.parse(deployedAt ?? "") || clock.now();
    if (isWanted(source, name) && !(isNew && timeMs < madeMs)) {
      const push = {
        repository: repository.metadata?.name ?? "",
        branch: name,
        commit,
        timeMs,
        ...(before && { before }),
        ...(user && { user }),
      };
      await send(context, source, gitPushEvent(repository, push), signal);
    }
    places.set(prefix + name, Buffer.from(commit));
  }
  places.set(prefix, Buffer.from("begun"));
  await places.flush();
}

function isWanted({ spec }: GitSource, branch: string): boolean {
  return spec?.branches === undefined || spec.branches.some((pattern) => compileKeyPattern(pattern)(branch));
}

async function send(
  context: SourceAdaptersContext,
  { metadata, spec, status }: GitSource,
  event: ReturnType<typeof gitPushEvent>,
  signal: AbortSignal,
): Promise<void> {
  const target = targetOf(status);
  if (target === undefined) return;
  const name = `gitsource ${metadata?.namespace}/${metadata?.name}`;
  await deliver(context, { event: withOverrides(event, spec?.ceOverrides), target, source: name, signal });
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}
