import { envExample } from './manual.ts';

process.stdout.write(envExample());
