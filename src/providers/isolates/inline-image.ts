/**
 * The image of isolates whose code is mounted: empty, built in, always there. In a file of its own, because every start of a node knows it and nothing else of isolates.
 */
import type { ImageInfo, ImageService } from "#kubelet/container-runtime.ts";

const reference = "nodeless.dev/isolate:latest";

/** What it is. The id is the digest of nothing. */
export const inlineImage: ImageInfo = {
  id: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  tags: [reference],
  digests: [],
  sizeBytes: 0,
  isBuiltIn: true,
  // Isolates have users of their own, never root.
  user: "65534",
};

/** The images of `images`, and this one. */
export function withInlineImage(images: ImageService): ImageService {
  return {
    findImage: async (name) => (isInline(name) ? inlineImage : images.findImage(name)),
    pullImage: async (name, credentials, signal) =>
      isInline(name) ? inlineImage : images.pullImage(name, credentials, signal),
    listImages: () => images.listImages(),
    removeImage: async (name) => (isInline(name) ? undefined : images.removeImage(name)),
  };
}

function isInline(name: string): boolean {
  return name === reference || `${name}:latest` === reference || name === inlineImage.id;
}
