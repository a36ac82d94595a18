/**
 * Volumes that a pod was given without asking (its account's token, above all) and that containers of its runtime class cannot see: making them would only cost time.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { allContainers } from "./pod-view.ts";

/** Whether nobody sees what is mounted at a path. */
export type IsHidden = (containerPath: string) => boolean;

/** The container without mounts that are hidden. */
export function withoutHiddenMounts(container: Container, isHidden: IsHidden): Container {
  const { volumeMounts } = container;
  if (!volumeMounts?.some((mount) => isHidden(mount.mountPath))) return container;
  return { ...container, volumeMounts: volumeMounts.filter((mount) => !isHidden(mount.mountPath)) };
}

/** The pod without volumes that are mounted, but only where they are hidden. */
export function withoutHiddenVolumes(pod: Pod, isHidden: IsHidden): Pod {
  const mounts = allContainers(pod).flatMap((container) => container.volumeMounts ?? []);
  const hidden = new Set(mounts.filter((mount) => isHidden(mount.mountPath)).map((mount) => mount.name));
  for (const mount of mounts) if (!isHidden(mount.mountPath)) hidden.delete(mount.name);
  if (hidden.size === 0 || !pod.spec) return pod;
  return { ...pod, spec: { ...pod.spec, volumes: (pod.spec.volumes ?? []).filter(({ name }) => !hidden.has(name)) } };
}
