package simulator

// The two spellings of the token's element (wire/bergen-rex11.md section 4).
const (
	upperToken = "AuthenticationString"
	lowerToken = "authenticationString"
)

// operations are the service's calls. Mind the case of the token's element: in the
// wrong one it is no token.
var operations = []*operation{
	{"AuthenticationTokenGet", "", authenticate},

	{"PickTicketAdd", upperToken, addTicket},
	{"GetPickTicketAddStatus", lowerToken, ticketAddStatus},
	{"CancelPickTicket", upperToken, cancelTicket},
	{"GetPickTicketObjectByBarCode", upperToken, showTicket(byBarCode)},
	{"GetPickTicketObjectItemsInBoxes", upperToken, showTicket(inBoxes)},
	{"GetPickTicketObjectItemsInBoxesV2", lowerToken, showTicket(inBoxesV2)},
	{"GetPickTicketsByOrderNumber", lowerToken, ticketsByOrder},
	{"GetPickTickesByStatusAndCreateDate", upperToken, ticketsByStatus},
	{"GetPickTicketStatusesByDate", upperToken, statusList(byChange)},
	{"GetPickTicketStatusesByShipDate", upperToken, statusList(byShipDate)},

	{"GetInventory", upperToken, inventory},
	{"GetInventoryByBatch", lowerToken, inventoryBatch},
	{"GetInventoryFromDateTime", upperToken, inventorySince},
	{"GetInventoryFromDateTimeByBatch", lowerToken, inventoryBatchSince},
	{"GetInventoryByUPCs", upperToken, inventoryByUPCs},
	{"GetInventoryByStyle", upperToken, inventoryByStyle},
	{"GetProductQuantitiesByUpc", upperToken, quantities},

	{"StyleMasterProductAdd", upperToken, addProducts},
	{"StyleMasterProductUpdateByUpc", lowerToken, updateProduct},
	{"GetStyleMasterProductAddStatus", upperToken, productAddStatus},

	{"ReceivingTicketAdd", upperToken, addReceipt},
	{"GetReceivingTicketAddStatus", lowerToken, receiptAddStatus},
	{"GetReceivingTicketObjectByTicketNo", upperToken, showReceipt},
	{"GetReceivingTicketsByPO", upperToken, receiptsByPO},
	{"GetReceivingTicketsByStatusAndCreateDate", upperToken, receiptsByStatus},
	{"GetReceivingStatusesByDate", upperToken, receiptStatusList},
	{"GetReceivingStatusesByDateConfigurable", upperToken, receiptStatusListConfigurable},
}
