/** 128 random bits. `crypto.randomUUID` would need a page served over https. */
export const idempotencyKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join('-');
