/**
 * Finds a source's sink, and says in its status where that is. As upstream's source reconcilers.
 */
import type { Source, SourceStatus } from "#eventing/sources/kinds.ts";
import { Unresolved } from "#knative/addressable-resolver.ts";
import { isFalse, isTrue, type Mark } from "#knative/conditions.ts";
import type { Look } from "#knative/kind-controller.ts";

/** Nobody asks for tokens of sources' own. */
export const noIdentityNeeded: Mark = { status: "True", reason: "authentication-oidc feature disabled" };

/** Undefined when the sink cannot be found; the condition says why. */
export async function resolveSink({ spec }: Source, { conditions, resolve }: Look): Promise<SourceStatus | undefined> {
  try {
    const { url, CACerts, audience } = await resolve(spec?.sink ?? {});
    conditions.mark("SinkProvided", isTrue);
    return {
      sinkUri: url,
      ...(CACerts === undefined ? {} : { sinkCACerts: CACerts }),
      ...(audience === undefined ? {} : { sinkAudience: audience }),
    };
  } catch (error) {
    if (!(error instanceof Unresolved)) throw error;
    conditions.mark("SinkProvided", isFalse("NotFound", error.message));
    return undefined;
  }
}
