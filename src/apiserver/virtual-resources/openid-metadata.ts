/**
 * What relying parties need to check service account tokens by themselves: the OpenID Connect discovery document and the key set. As pkg/serviceaccount/openidmetadata.go.
 */
import type { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";

/** A document that is served as it is. */
export type PublicDocument = { readonly contentType: string; readonly cacheControl: string; readonly body: string };

const cacheControl = "public, max-age=3600";

/** The documents by path: /.well-known/openid-configuration and /openid/v1/jwks. `address` (host or host:port) is where clients reach the API server. */
export function openIdDocuments(tokens: ServiceAccountTokens, address: string): ReadonlyMap<string, PublicDocument> {
  const keys = tokens.publicKeys();
  const configuration = {
    issuer: tokens.issuer,
    jwks_uri: `https://${address}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [...new Set(keys.map((key) => key["alg"]))].sort(),
  };
  return new Map([
    [
      "/.well-known/openid-configuration",
      { contentType: "application/json", cacheControl, body: JSON.stringify(configuration) },
    ],
    ["/openid/v1/jwks", { contentType: "application/jwk-set+json", cacheControl, body: JSON.stringify({ keys }) }],
  ]);
}
