// Prints the template of a riskgate with every variable set (argument `all`), with verified sessions (`sessions`, or `all-sessions` with every
// variable but the queue) or with neither. deploy/test_cdk.py compares it with the SAM templates.

import { everyVariable, importedPool, newPool, synthesise } from './stack';

const which = process.argv[2];
const { template } = synthesise(which.endsWith('sessions') ? importedPool : newPool, (stack) => ({
  ...(which.startsWith('all') && everyVariable(stack)),
  ...(which.endsWith('sessions') && { sessionQueue: undefined, verifiedSessions: {} }),
}));
process.stdout.write(JSON.stringify(template.toJSON()));
