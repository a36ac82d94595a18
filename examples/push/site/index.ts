/**
 * A page that says which version of it is asked.
 */
const version = "one";

export default (request: Request): Response => {
  const { pathname } = new URL(request.url);
  if (pathname === "/version") return new Response(`${version}\n`);
  const page = `<!doctype html><title>Site</title><h1>Version ${version}</h1>`;
  return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
};
