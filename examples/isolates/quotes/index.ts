import quotes from "./quotes.json";
import page from "./page.html";

type Quote = { readonly text: string; readonly by: string };

/** GET / is a page, GET /quote one quote, GET /hello asks the other example by its Service's name. */
export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/quote") return Response.json(pick(quotes));
    if (pathname === "/hello") return fetch("http://hello/");
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};

function pick(all: readonly Quote[]): Quote {
  return all[Math.floor(Math.random() * all.length)] as Quote;
}
