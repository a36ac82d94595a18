/**
 * Prefers nodes that have the pod's images already, the more so the larger they are and the more nodes have them.
 */
import type { NodeInfo } from "#scheduler/node-info.ts";
import type { PodInfo } from "#scheduler/pod-info.ts";
import type { ScorePlugin } from "#scheduler/framework.ts";
import { maxScore } from "#scheduler/framework.ts";

const minBytes = 23 * 1024 * 1024;
const maxBytesPerContainer = 1000 * 1024 * 1024;

export const imageLocality: ScorePlugin = {
  name: "ImageLocality",
  weight: 1,
  prepareScore(pod, view, feasible) {
    const images = imagesOf(pod);
    // Counting on how many nodes an image is only matters when some node has it.
    if (!feasible.some((node) => images.some((image) => node.imageBytes.has(image)))) return undefined;
    const spread = images.map((image) => countWith(view.nodes, image) / view.nodes.length);
    const containers = (pod.pod.spec?.containers.length ?? 0) + (pod.pod.spec?.initContainers?.length ?? 0);
    const most = maxBytesPerContainer * containers;
    return {
      score(node) {
        let sum = 0;
        for (let i = 0; i < images.length; i++) sum += Math.floor((node.imageBytes.get(images[i]!) ?? 0) * spread[i]!);
        return Math.floor((maxScore * (Math.min(Math.max(sum, minBytes), most) - minBytes)) / (most - minBytes));
      },
    };
  },
};

function countWith(nodes: readonly NodeInfo[], image: string): number {
  return nodes.reduce((count, node) => count + (node.imageBytes.has(image) ? 1 : 0), 0);
}

function imagesOf(pod: PodInfo): readonly string[] {
  const { containers = [], initContainers = [] } = pod.pod.spec ?? {};
  return [...initContainers, ...containers].map((container) => withTag(container.image ?? ""));
}

function withTag(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") ? `${image}:latest` : image;
}
