print("tunic")
