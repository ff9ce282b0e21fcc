#ifndef CSHIMS_H
#define CSHIMS_H

#include "CShimsSocket.h"

#endif
