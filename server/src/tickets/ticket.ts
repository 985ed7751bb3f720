import { createHash } from 'node:crypto';

// 32 bytes in base64url are 43 characters; anything else never was a ticket and is not worth a question to the store.
const ticketPattern = /^ut1_[A-Za-z0-9_-]{43}$/;

/** 256 random bits behind a prefix that secret scanners can know. */
export const mintTicket = (randomBytes: (size: number) => Buffer): string =>
  `ut1_${randomBytes(32).toString('base64url')}`;

export const isTicketShaped = (ticket: string): boolean => ticketPattern.test(ticket);

/** SHA-256 in hex: what the store knows a ticket by, so that who reads the store cannot use what is in it. */
export const hashTicket = (ticket: string): string => createHash('sha256').update(ticket).digest('hex');

/** The part of the hash that logs may carry. */
export const shortHash = (hash: string): string => hash.slice(0, 8);
