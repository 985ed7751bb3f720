/** Tells whether a page of `origin` may act with the browser's credentials on `url`. */
export type OriginPolicy = (origin: string, url: URL) => boolean;

/**
 * Same origin, or one of the list, compared exactly.
 *
 * Behind a proxy that ends TLS the request's own url is `http:` while its page is `https:`; the host still tells. The
 * other way round an unencrypted page would act on an encrypted service, and is another origin.
 */
export function createOriginPolicy(allowedOrigins: readonly string[]): OriginPolicy {
  const allowed = new Set(allowedOrigins);
  return (origin, url) => {
    if (allowed.has(origin)) return true;
    if (!/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
    const page = new URL(origin);
    if (page.origin !== origin) return false;
    return page.host === url.host && (page.protocol === 'https:' || url.protocol === 'http:' || url.protocol === 'ws:');
  };
}
