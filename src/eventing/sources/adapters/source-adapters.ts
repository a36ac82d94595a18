/**
 * Runs the adapters of all sources that send by themselves: PingSource, ApiServerSource, ObjectSource, GitSource. To be started where events are delivered.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import { apiServerSources, gitSources, objectSources, pingSources } from "#eventing/sources/kinds.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { type AdapterKind, AdapterSet } from "./adapter-set.ts";
import { apiServerAdapter } from "./api-server-adapter.ts";
import { gitAdapter } from "./git-adapter.ts";
import { objectAdapter } from "./object-adapter.ts";
import { pingAdapter } from "./ping-adapter.ts";

/** Adapters as they run. */
export type SourceAdapters = {
  /** How many sources are followed. */
  readonly count: number;
  /** Resolves when nothing is sent any more. */
  stop(): Promise<void>;
};

/** Follows the sources. Resolves at once; adapters begin as their sources come in. */
export function startSourceAdapters(context: SourceAdaptersContext): SourceAdapters {
  const all = [
    follow(context, pingSources, pingAdapter(context)),
    follow(context, apiServerSources, apiServerAdapter(context)),
    follow(context, objectSources, objectAdapter(context)),
    follow(context, gitSources, gitAdapter(context)),
  ];
  return {
    get count() {
      return all.reduce((sum, { set }) => sum + set.size, 0);
    },
    async stop() {
      for (const { disconnect } of all) disconnect();
      await Promise.all(all.map(({ set }) => set.stop()));
      await context.places.flush({ isDurable: true });
    },
  };
}

function follow<T extends KubeObject>(
  context: SourceAdaptersContext,
  resource: GroupVersionResource,
  kind: AdapterKind<T>,
): { readonly set: Pick<AdapterSet<T>, "size" | "stop">; readonly disconnect: () => void } {
  const set = new AdapterSet(kind, context);
  const informer = context.informers.informer<T>({ resource });
  const stop = new AbortController();
  const end = set.follow(informer);
  const uids = () => new Set(informer.lister.list().map(({ metadata }) => metadata?.uid ?? ""));
  void informer.waitForSync(stop.signal).then(
    () => set.forgetOthers(uids()),
    () => {},
  );
  return {
    set,
    disconnect() {
      stop.abort(new Error("sources are not followed any more"));
      end();
    },
  };
}
