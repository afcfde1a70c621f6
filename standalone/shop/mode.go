package shop

import easypost "orderferry/connectors/easypost/simulator"

// Mode is the mode in which the simulated merchants work.
const Mode = easypost.Production
