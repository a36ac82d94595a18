/**
 * A tree of files as an image in the cluster's registry, for pods that mount it; it goes when nobody wants it any more.
 */
import type { Cluster } from "#cmd/machine/clusters.ts";
import { systemClock } from "#component-base/clock.ts";
import type { PublishedTree } from "#delivery/pipeline/run-steps.ts";
import { buildImage } from "#images/build/build-image.ts";
import { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announcedHosts } from "#images/registry/hosts.ts";
import { loadLibc } from "#linux/libc.ts";

/** A repository has one at a time: what a crash left of the one before goes. */
export async function publishTree(
  { record, layout }: Cluster,
  { folder, namespace, name }: { readonly folder: string; readonly namespace: string; readonly name: string },
): Promise<PublishedTree> {
  const store = new ImageStore({ folder: layout.images, clock: systemClock, specialFiles: await loadLibc() });
  await store.open();
  const host = (await announcedHosts(store.folder, record.name))?.address;
  if (host === undefined) throw new Error(`cluster "${record.name}" has no registry yet`);
  const repository = `pipelines/${record.name}/${namespace}/${name}`;
  const { digest } = await buildImage({ store }, { layers: [{ folder, modes: "plain" }], compression: "none" });
  const registry = new EmbeddedRegistry({ store });
  const removeAll = async () => {
    const kept = registry.repository(repository);
    for (const old of await kept.manifests()) {
      await registry.removeManifest(kept, old);
      await store.remove(`${host}/${repository}@${old}`);
    }
  };
  await removeAll();
  await registry.publish({ repository }, digest);
  return { reference: `${host}/${repository}@${digest}`, remove: removeAll };
}
