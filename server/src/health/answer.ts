import type { HealthPort } from '@usher/contracts';

/**
 * The answer to whoever asks after this instance, `null` where the path is another. Neither method nor body matters:
 * HAProxy asks by OPTIONS unless told otherwise, others by HEAD, or by a POST with whatever they find to send, and a
 * checker that is refused takes the instance for dead.
 */
export function healthAnswer(health: HealthPort, pathname: string): Response | null {
  switch (pathname) {
    case '/healthz':
      return plain(health.live(), 200);
    case '/readyz': {
      const readiness = health.ready();
      return plain(readiness, readiness.status === 'ok' ? 200 : 503);
    }
    // The same as tRPC's own queries give, which would refuse PUT, and read the body that nobody looks at.
    case '/trpc/health.live':
      return plain({ result: { data: health.live() } }, 200);
    case '/trpc/health.ready':
      return plain({ result: { data: health.ready() } }, 200);
    default:
      return null;
  }
}

/** Whether `healthAnswer` has an answer for this path. */
export const isHealthPath = (pathname: string): boolean =>
  ['/healthz', '/readyz', '/trpc/health.live', '/trpc/health.ready'].includes(pathname);

const plain = (body: unknown, status: number): Response =>
  Response.json(body, { status, headers: { 'Cache-Control': 'no-store' } });
