// All tests in one process: loading the construct library takes longer than most of them.

import './nag.test';
import './riskgate.test';
import './snapshot.test';
