#ifndef CSHIMS_H
#define CSHIMS_H

#include "CShimsProcess.h"
#include "CShimsSocket.h"

#endif
